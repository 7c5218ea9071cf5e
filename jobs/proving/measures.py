"""What a made clip is worth against a film's truth, one function a measure.

Each gives a list of numbers of one clip, which a table pools over clips: a share is a list of 0 and
1, and a clip that says nothing about a measure gives an empty one. Picture and sound come from two
readings, so that those of different clips can be paired: what a measure gives then is chance.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from curation.alignment import Times
from jobs.proving.heard import Sound, listen
from jobs.proving.seen import Thing, impacts, look
from jobs.proving.truth import Truth

SEMITONE = 1.0  # a pitch is right within it; neighbours in the world are 4.5 apart
Numbers = list[float]


@dataclass(frozen=True)
class Reading:
    """What the detectors find in a clip."""

    things: tuple[Thing, ...]
    impacts: Times
    sounds: tuple[Sound, ...]
    fps: float
    seconds: float

    @property
    def onsets(self) -> Times:
        """When sounds set in, seconds."""
        return np.array([sound.time for sound in self.sounds], np.float64)

    def kinds(self) -> list[tuple[str, str, str]]:
        """Colour, shape and direction of each object, as often as it is there."""
        return [
            (thing.colour, thing.shape, thing.direction(self.fps))
            for thing in self.things
            for _ in range(thing.count)
        ]

    def since(self, start: float) -> "Reading":
        """Only what happens from `start` seconds on."""
        later = tuple(sound for sound in self.sounds if sound.time >= start)
        return replace(self, impacts=self.impacts[self.impacts >= start], sounds=later)

    def later(self, seconds: float) -> "Reading":
        """With its sound moved round the clip: what leaves sync to chance."""
        moved = [replace(s, time=(s.time + seconds) % self.seconds) for s in self.sounds]
        return replace(self, sounds=tuple(sorted(moved, key=lambda sound: sound.time)))


def read(
    pixels: NDArray[np.uint8], fps: float, samples: NDArray[np.float32] | None, rate: int
) -> Reading:
    """Read pixels [N,H,W,3] and samples [channels,S]; without samples nothing is heard."""
    things = tuple(look(pixels))
    sounds = () if samples is None else tuple(listen(samples, rate))
    return Reading(things, impacts(list(things), fps), sounds, fps, len(pixels) / fps)


def same(truth: Truth, seen: Reading, *parts: int) -> Numbers:
    """1 where colour (0), shape (1) or direction (2) of all objects are those asked for."""
    asked = Counter(tuple(kind[n] for n in parts) for kind in truth.things)
    found = Counter(tuple(kind[n] for n in parts) for kind in seen.kinds())
    return [float(asked == found)]


def colour(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """1 where the objects have the colours asked for."""
    return same(truth, seen, 0)


def shape(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """1 where the objects have the shapes asked for."""
    return same(truth, seen, 1)


def count(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """1 where there are as many objects as asked for."""
    return same(truth, seen)


def direction(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """1 where the objects go where they were asked to."""
    return same(truth, seen, 2)


def picture(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """1 where all of that is right for the same objects."""
    return same(truth, seen, 0, 1, 2)


def pitch(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """For each sound whether one asked for has its pitch; 0 for a clip that is silent."""
    asked = np.array([pitch for event in truth.events for pitch in event.pitches])
    if not asked.size:
        return []
    found = [np.abs(12 * np.log2(sound.pitch / asked)).min() for sound in heard.sounds]
    return [float(away <= SEMITONE) for away in found] or [0.0]


def timbre(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """For each sound whether one asked for has its timbre; 0 for a clip that is silent."""
    asked = {timbre for event in truth.events for timbre in event.timbres}
    return [float(sound.timbre in asked) for sound in heard.sounds] or [0.0] if asked else []


def events(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """1 where as many sounds are heard as were asked for."""
    return [float(len(heard.sounds) == len(truth.events))]


def sync(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """For each sound whether something hits within a frame of it; 0 without sounds or impacts."""
    return [float(away <= 1 / seen.fps) for away in distances(seen, heard)] or [0.0]


def sync_ms(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """For each sound how far the nearest impact is, ms; nothing without sounds or impacts."""
    return [1000 * away for away in distances(seen, heard)]


def distances(seen: Reading, heard: Reading) -> Numbers:
    """Seconds from each sound to the nearest impact.

    Sounds after the last frame but one are left out: no frame shows that something turned there.
    """
    onsets = heard.onsets[heard.onsets <= seen.seconds - 2 / seen.fps]
    if not len(seen.impacts) or not len(onsets):
        return []
    away = np.abs(onsets[:, None] - seen.impacts[None]).min(axis=1)
    return [float(x) for x in away]


def onset_f1(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """How well sounds lie on the film's own, within a frame (F1 of one-to-one matches)."""
    asked = np.array([event.time for event in truth.events])
    return f1(asked, heard.onsets, 1 / truth.fps)


def impact_f1(truth: Truth, seen: Reading, heard: Reading) -> Numbers:  # noqa: ARG001
    """How well impacts lie on the film's own, within a frame (F1 of one-to-one matches)."""
    return f1(truth.impacts, seen.impacts, 1 / truth.fps)


def f1(asked: Times, found: Times, tolerance_s: float) -> Numbers:
    """F1 of times matched one to one in order; nothing where nothing was asked for."""
    if not len(asked):
        return []
    matched, rest = 0, sorted(found)
    for time in sorted(asked):
        near = next((x for x in rest if abs(x - time) <= tolerance_s), None)
        if near is not None:
            matched += 1
            rest.remove(near)
    return [2 * matched / (len(asked) + len(found))]
