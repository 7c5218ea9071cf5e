"""One row a measure: its value over clips, how sure that is, and the bounds it lies between."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from jobs.proving.measures import Numbers, Reading
from jobs.proving.truth import Truth

DRAWS = 1000  # of the bootstrap
SURE = 0.95
PAIRS = 8  # other clips that each clip is paired with for chance
SHIFT_S = 0.4  # three frames at 8 a second: further than a frame, less than between two bounces
Measure = Callable[[Truth, Reading, Reading], Numbers]
Pool = Literal["mean", "median"]


@dataclass(frozen=True)
class Estimate:
    """A value over clips with its 95 % interval, from resampling clips."""

    value: float
    low: float
    high: float
    clips: int  # that say something about it


@dataclass(frozen=True)
class Row:
    """One line of the table. `bounds` are the same measure where it must fail, or cannot do better.

    untrained: the same requests to the untrained network. chance: truth (for sync, sound) of other
    clips. shifted: the sound moved by SHIFT_S. words: other films that the same words were said of,
    which is all that words can ask for. reencoded: the truth through the autoencoders.
    """

    capability: str
    measure: str
    unit: Literal["share", "ms", "dB", "grey levels"]
    made: Estimate | None
    bounds: dict[str, Estimate] = field(default_factory=dict)
    target: float | None = None
    higher: bool = True  # whether more is better

    @property
    def reached(self) -> bool | None:
        """Whether the target is; None without one or without clips."""
        if self.target is None or self.made is None:
            return None
        return self.made.value >= self.target if self.higher else self.made.value <= self.target

    def card(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "reached": self.reached}


@dataclass(frozen=True)
class Set:
    """Readings of clips, each with the truth that it was asked for."""

    truths: Sequence[Truth]
    readings: Sequence[Reading]


def estimate(numbers: Sequence[Numbers], pool: Pool = "mean", seed: int = 0) -> Estimate | None:
    """The pooled value of clips' numbers with its interval; None where no clip has any.

    Clips are resampled, not numbers: those of one clip hang together (Efron & Tibshirani 1993, §8).
    """
    there = [np.array(one) for one in numbers if len(one)]
    if not there:
        return None
    of = np.mean if pool == "mean" else np.median
    rng = np.random.default_rng(seed)
    drawn = [
        of(np.concatenate([there[n] for n in rng.integers(len(there), size=len(there))]))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, [(1 - SURE) / 2, (1 + SURE) / 2])
    return Estimate(float(of(np.concatenate(there))), float(low), float(high), len(there))


def measured(measure: Measure, clips: Set, pool: Pool = "mean") -> Estimate | None:
    """A measure over clips."""
    pairs = zip(clips.truths, clips.readings, strict=True)
    return estimate([measure(truth, clip, clip) for truth, clip in pairs], pool)


def chance(measure: Measure, clips: Set, pool: Pool = "mean", *, of_pairs: bool) -> Estimate | None:
    """A measure with the truths of other clips or, `of_pairs`, with their sounds."""
    size = len(clips.readings)
    numbers = []
    for here, clip in enumerate(clips.readings):
        others = [(here + step) % size for step in range(1, min(PAIRS + 1, size))]
        found: Numbers = []
        for other in others:
            truth = clips.truths[here if of_pairs else other]
            found += measure(truth, clip, clips.readings[other] if of_pairs else clip)
        numbers.append(found)
    return estimate(numbers, pool)


def shifted(measure: Measure, clips: Set, pool: Pool = "mean") -> Estimate | None:
    """A measure with every clip's sound moved by SHIFT_S."""
    pairs = zip(clips.truths, clips.readings, strict=True)
    return estimate([measure(t, clip, clip.later(SHIFT_S)) for t, clip in pairs], pool)


def row(
    place: tuple[str, str],
    measure: Measure,
    sets: dict[str, Set],
    pool: Pool = "mean",
    target: float | None = None,
    *,
    of_pairs: bool = False,
) -> Row:
    """A row of `sets`: what was "made", and bounds where there are such clips: "untrained", other
    films of the same "words", "reencoded".

    `place` is capability and measure. `of_pairs` measures compare a clip's picture and sound.
    """
    made = sets["made"]
    other = {name: measured(measure, clips, pool) for name, clips in sets.items() if name != "made"}
    bounds = {
        "untrained": other.get("untrained"),
        "chance": chance(measure, made, pool, of_pairs=of_pairs),
        "shifted": shifted(measure, made, pool) if of_pairs else None,
        "words": None if of_pairs else other.get("words"),
        "reencoded": other.get("reencoded"),
    }
    ms = pool == "median"
    there = {name: bound for name, bound in bounds.items() if bound is not None}
    found = measured(measure, made, pool)
    return Row(*place, "ms" if ms else "share", found, there, target, higher=not ms)
