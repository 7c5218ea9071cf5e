"""Long films in parts, which as many workers decode at the same time.

How many parts a film has follows from itself and the settings alone, so that clips and scores are
the same on any number of workers. Parts meet at a cut: both sides decode enough around the edge to
find it. Only where a shot goes on for long do they meet within it, and the second begins with new
clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from curation.shots import MARGIN, STEP

MOST = 16  # a film in an object store that is no mp4 is copied for each part
LEAST_S = 120.0  # what is decoded twice, some 20 s an edge, is at most a sixth of it
NEAR_S = 5.0  # how far behind an edge its cut may lie; nearly all shots of films have ended by then

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Part `number` of the `of` in which a film is shared out."""

    number: int = 0
    of: int = 1

    def span(self, seconds: float) -> tuple[float, float | None] | None:
        """From where to where of a film of `seconds` it goes; the last has no end.

        A film that is too short for all of them leaves the later ones nothing: None.
        """
        parts = max(1, min(self.of, int(seconds // LEAST_S)))
        if self.number >= parts:
            return None
        edges = [round(seconds * number / parts, 3) for number in range(parts)]
        return edges[self.number], (*edges[1:], None)[self.number]

    def __str__(self) -> str:
        return f"part {self.number + 1} of {self.of}"


WHOLE = Part()


@dataclass(frozen=True)
class Measured:
    """What was found in a part: clips and scores in the same order, the film's facts in the first.

    `shots` counts those that touch it, and `continues` says that the first began before it; the
    `shot` of a clip is its place among them. `seconds` is when its last frame ends.
    """

    facts: Row = field(default_factory=dict)
    shots: int = 0
    continues: bool = False
    seconds: float = 0.0
    clips: list[Row] = field(default_factory=list)
    scores: list[Row] = field(default_factory=list)


def parts_of(size: int, part_mb: float) -> list[Part]:
    """The parts of a film of `size` bytes, each of about `part_mb` megabytes or more."""
    of = min(MOST, max(1, ceil(size / (part_mb * 2**20))))
    return [Part(number, of) for number in range(of)]


def around(span: tuple[float, float | None], fps: float) -> tuple[float, float | None]:
    """What is decoded for a span: NEAR_S more, and what the shot net reads around that."""
    reach = NEAR_S + (MARGIN + STEP) / max(fps, 1.0)
    start, end = span
    return max(0.0, start - reach), None if end is None else end + reach


def held(part: Part, seconds: float, fps: float) -> list[tuple[float, float | None]]:
    """What is read of a film for a part: what is decoded, and the sound around its clips."""
    from curation.freeze import AROUND_S  # noqa: PLC0415 - 2 s that a driver need not import

    span = part.span(seconds)
    if span is None:
        return []
    start, end = around(span, fps)
    return [(max(0.0, start - AROUND_S), None if end is None else end + AROUND_S)]


def seam(edge: float, shots: Sequence[tuple[float, float]]) -> float:
    """Where two parts meet: the first cut after the `edge`, or the edge where none is near."""
    return next((start for start, _ in shots if edge <= start < edge + NEAR_S), edge)


def in_order(parts: Sequence[Measured]) -> tuple[list[Row], list[Row]]:
    """Clips and scores of all parts; a clip's shot becomes its number in the film.

    Should two parts not find the same cut, the second's clips begin where the first's have ended.
    """
    clips: list[Row] = []
    scores: list[Row] = []
    before, over = 0, 0.0
    for part in parts:
        for clip, row in zip(part.clips, part.scores, strict=True):
            if clip["start_s"] >= over - 1e-6:
                clips.append(clip | {"shot": clip["shot"] + before - part.continues})
                scores.append(row)
        before += part.shots - part.continues
        over = clips[-1]["end_s"] if clips else 0.0
    return clips, scores


def shots_of(parts: Sequence[Measured]) -> int:
    """How many shots there are in all parts; one that goes on over an edge counts once."""
    return sum(part.shots - part.continues for part in parts)
