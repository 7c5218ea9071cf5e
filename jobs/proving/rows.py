"""Which measures a capability has, and its rows of the table."""

from collections.abc import Sequence
from typing import Any

from jobs.proving import measures
from jobs.proving.cases import EDIT, FEW, HELD_OUT, LONG, REFERENCES, TEXT
from jobs.proving.made import Clip
from jobs.proving.measures import Reading
from jobs.proving.tables import Estimate, Measure, Pool, Row, Set, estimate, row
from jobs.proving.truth import Truth

PICTURE: dict[str, Measure] = {
    "colour": measures.colour,
    "shape": measures.shape,
    "count of objects": measures.count,
    "direction": measures.direction,
    "all of these": measures.picture,
}
SOUND: dict[str, Measure] = {
    "pitch": measures.pitch,
    "timbre": measures.timbre,
    "number of sounds": measures.events,
}
WHEN_SEEN: dict[str, Measure] = {"impacts on the film's own": measures.impact_f1}
WHEN_HEARD: dict[str, Measure] = {"sounds on the film's own": measures.onset_f1}
IDENTITY: dict[str, Measure] = {
    "colour": measures.colour,
    "shape": measures.shape,
    "pitch": measures.pitch,
    "timbre": measures.timbre,
}
OF: dict[str, dict[str, Measure]] = {
    TEXT: {**PICTURE, **SOUND},
    HELD_OUT: {**PICTURE, **SOUND},
    **{name: {**PICTURE, **SOUND} for name in FEW},
    **dict.fromkeys(REFERENCES, IDENTITY),
    EDIT: {**IDENTITY, **WHEN_HEARD},
    LONG: IDENTITY,
    "extension": {**WHEN_SEEN, **WHEN_HEARD},
    "sound for a picture": {**WHEN_HEARD, "pitch": measures.pitch, "timbre": measures.timbre},
    "picture for a sound": WHEN_SEEN,
}
SYNC = {TEXT, HELD_OUT, *FEW, "extension", "inpainting", EDIT}
TARGETS = {TEXT: 0.95, HELD_OUT: 0.80, **dict.fromkeys(REFERENCES, 0.85)}  # of attributes
SYNC_TARGET, KEPT_DB = 0.9, 35.0


def rows(
    capability: str,
    clips: Sequence[Clip],
    read: dict[str, list[Reading]],
    untrained: Sequence[Clip] = (),
    same: Sequence[tuple[Truth, Reading]] = (),
) -> list[Row]:
    """The rows of a capability; `read` are the readings "made", "untrained" and "reencoded".

    Bounds may be of the first clips only: they need no more than there was time for. `same` are
    truths with readings of other films of the same words, for what is asked for in words alone.
    """
    sets = {
        name: Set(
            [clip.case.truth.since(clip.case.since) for clip, _ in zip(clips, found, strict=False)],
            [one.since(clip.case.since) for clip, one in zip(clips, found, strict=False)],
        )
        for name, found in read.items()
        if found
    }
    if same:
        sets["words"] = Set(*zip(*same, strict=True))
    found = [
        row((capability, name), measure, sets, target=TARGETS.get(capability))
        for name, measure in OF.get(capability, {}).items()
    ]
    if capability in SYNC:
        kinds: list[tuple[str, Measure, Pool, float | None]] = [
            ("sounds within a frame of an impact", measures.sync, "mean", SYNC_TARGET),
            ("median error of sync", measures.sync_ms, "median", None),
        ]
        found += [
            row((capability, name), measure, sets, pool, target, of_pairs=True)
            for name, measure, pool, target in kinds
        ]
    return found + kept_rows(capability, clips, untrained)


def kept_rows(capability: str, clips: Sequence[Clip], untrained: Sequence[Clip]) -> list[Row]:
    """How well the network itself kept what it was given, and the seam."""
    given = [clip.kept for clip in clips]
    found = []
    if (made := of(given, "kept")) is not None:
        bounds = {
            "untrained": of([clip.kept for clip in untrained], "kept"),
            "reencoded": of(given, "kept_reencoded"),
        }
        there = {name: bound for name, bound in bounds.items() if bound}
        place = "kept before it is put back"
        found.append(Row(capability, place, "dB", made, there, KEPT_DB))
    for name in ("seam", "drift"):
        if (edge := of(given, name)) is not None:
            other = of([clip.kept for clip in untrained], name)
            there = {"untrained": other} if other else {}
            found.append(Row(capability, name, "grey levels", edge, there, higher=False))
    return found


def of(given: Sequence[dict[str, Any]], name: str) -> Estimate | None:
    """A number of what was kept, over clips."""
    return estimate([[one[name]] if name in one else [] for one in given])
