"""The windows of a shot that become clips: whole latents, within the shot, never through a word."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from pipelines.scan_config import WindowConfig

Span = tuple[float, float]
TINY = 1e-6  # seconds: times are floats of whole milliseconds
CLEAR_S = 0.04  # word times err by some 10 ms: an edge this far from a word is in nobody's mouth
IN_PAUSE, IN_SPEECH, IN_VOICE = 0.0, 0.5, 1.0  # seconds of clip that an edge there is worth


@dataclass(frozen=True)
class Speech:
    """What cuts respect in one film, in seconds."""

    words: list[Span] = field(default_factory=list)  # no edge lies inside one
    voice: list[Span] = field(default_factory=list)  # voice without words: avoided where possible

    @classmethod
    def from_ms(cls, spans: dict[str, list[list[int]]]) -> "Speech":
        """From {"words": [[start, end]…], "voice": …} in milliseconds; nothing from {}."""
        words, voice = (
            [(a / 1000, b / 1000) for a, b in spans.get(name, [])] for name in ("words", "voice")
        )
        return cls(words, voice)

    @property
    def rules(self) -> list[tuple[float, list[Span]]]:
        """(price, forbidden spans): pauses only, then between words, then in wordless voice."""
        everything = [*self.words, *self.voice]
        if not everything:
            return [(IN_PAUSE, [])]
        return [
            (IN_PAUSE, merge((a - CLEAR_S, b + CLEAR_S) for a, b in everything)),
            (IN_SPEECH, merge(everything)),
            (IN_VOICE, merge(self.words)),
        ]


def merge(spans: Iterable[Span]) -> list[Span]:
    """Sorted spans; those that overlap become one, those that touch do not."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start < result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def windows(
    start: float, end: float, config: WindowConfig, speech: Speech | None = None
) -> list[tuple[float, int]]:
    """(start in seconds, frames) of the clips of a shot [start, end): longest first, no overlap.

    Starts lie on whole milliseconds, never before the shot. With `speech` no edge lies inside a
    word: a window gives up whole latents or starts later, whichever costs less of it, and where
    neither helps within a window's length that stretch is in no clip.
    """
    fewest, most = config.frames
    rules = (speech or Speech()).rules
    lengths = range(most, fewest - 1, -4)
    clips = []
    place = on_ms(start)
    last = end + 0.002  # container times are rounded to as much as 1 ms
    while place + fewest / config.fps <= last + TINY:
        found = best(place, last, [(n, n / config.fps) for n in lengths], rules)
        if found is None:
            place = on_ms(place + most / config.fps)
            continue
        clips.append(found)
        place = on_ms(found[0] + found[1] / config.fps)
    return clips


def best(
    place: float,
    last: float,
    lengths: list[tuple[int, float]],
    rules: list[tuple[float, list[Span]]],
) -> tuple[float, int] | None:
    """The (start, frames) from `place` on that is longest after what it skips and its price."""
    top, value = None, -float("inf")
    for price, spans in rules:
        for frames, seconds in lengths:
            if seconds - price <= value:
                break
            begin = earliest(place, seconds, min(last, place + 2 * lengths[0][1]), spans)
            if begin is not None and seconds - (begin - place) - price > value + TINY:
                top, value = (begin, frames), seconds - (begin - place) - price
    return top


def earliest(place: float, seconds: float, last: float, spans: list[Span]) -> float | None:
    """The first whole millisecond from `place` on where neither edge is inside one of `spans`."""
    begin = place
    while begin + seconds <= last + TINY:
        if (span := inside(spans, begin)) is not None:
            begin = on_ms(span[1])
        elif (span := inside(spans, begin + seconds)) is not None:
            begin = on_ms(span[1] - seconds)
        else:
            return begin
    return None


def inside(spans: list[Span], time: float) -> Span | None:
    """The span of sorted, disjoint `spans` that `time` is properly inside of."""
    at = bisect_left(spans, time, key=lambda span: span[0]) - 1
    if at >= 0 and spans[at][0] + TINY < time < spans[at][1] - TINY:
        return spans[at]
    return None


def on_ms(time: float) -> float:
    """The whole millisecond at or after `time`."""
    return ceil(time * 1000 - TINY) / 1000
