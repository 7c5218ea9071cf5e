"""What a film's truth says can be seen and heard in it: what detectors are held to.

An impact after the last frame but one shows in no frame that comes after it; of sounds that are
nearer than MERGED_S the first is asked for, and none that the end cuts off.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from curation.alignment import Times
from curation.world.film import SILENT_KINDS
from jobs.proving.heard import ENDING_S, MERGED_S


@dataclass(frozen=True)
class Event:
    """A sound: when, and the pitches (Hz) and timbres that it may have."""

    time: float
    pitches: tuple[float, ...]
    timbres: tuple[str, ...]


@dataclass(frozen=True)
class Truth:
    """What there is to see and hear in a film of one shot."""

    things: tuple[tuple[str, str, str], ...]  # colour, shape and direction of each object
    impacts: Times  # seconds
    events: tuple[Event, ...]
    fps: float

    def since(self, start: float) -> "Truth":
        """Only what happens from `start` seconds on: before that a clip was given."""
        later = tuple(event for event in self.events if event.time >= start)
        return replace(self, impacts=self.impacts[self.impacts >= start], events=later)


def expected(truth: dict[str, Any]) -> Truth:
    """A truth file's content as what can be seen and heard. Impacts of hidden objects count."""
    objects = truth["objects"]
    last = (truth["frames"] - 2) / truth["fps"]
    impacts = [e["time"] for e in truth["events"] if e["kind"] == "impact" and e["time"] <= last]
    return Truth(
        tuple((thing["colour"], thing["shape"], thing["direction"]) for thing in objects),
        np.array(impacts),
        merged(truth),
        truth["fps"],
    )


def merged(truth: dict[str, Any]) -> tuple[Event, ...]:
    """The sounds of a film, near ones as one."""
    found: list[Event] = []
    for event in truth["events"]:
        if event["kind"] in SILENT_KINDS or event["time"] > truth["seconds"] - ENDING_S:
            continue
        pitches, timbres = tuple(event["pitch_hz"]), tuple(event["timbre"])
        if found and event["time"] - found[-1].time < MERGED_S:
            pitches, timbres = found[-1].pitches + pitches, found[-1].timbres + timbres
            found[-1] = Event(found[-1].time, pitches, timbres)
        else:
            found.append(Event(event["time"], pitches, timbres))
    return tuple(found)
