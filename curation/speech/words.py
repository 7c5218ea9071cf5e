"""What is heard in a film: words in segments, on the film's clock. Small values and their JSON."""

import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

RATE = 16_000  # samples a second of the sound that every engine gets
Spans = list[tuple[float, float]]  # sorted, without overlap, in seconds


@dataclass(frozen=True)
class Word:
    """One written word with its punctuation. `score` is null where no aligner vouches for it."""

    text: str
    start: float
    end: float
    score: float | None = None  # 0…1
    speaker: str | None = None
    flagged: bool = False  # its segment has flags


@dataclass(frozen=True)
class Segment:
    """An utterance. `text` is null where voice is heard but the engine cannot write it down."""

    start: float
    end: float
    text: str | None
    words: tuple[Word, ...] = ()
    language: str | None = None  # ISO 639-1
    confidence: float | None = None  # that it is this language, 0…1
    speaker: str | None = None
    flags: tuple[str, ...] = ()  # gates of curation/speech/gates.py that it fails


@dataclass(frozen=True)
class Transcript:
    """Everything heard in one film."""

    engine: str
    seconds: float
    voiced: Spans = field(default_factory=list)
    segments: tuple[Segment, ...] = ()

    @property
    def words(self) -> list[Word]:
        """All words in order."""
        return [word for segment in self.segments for word in segment.words]

    def language(self) -> tuple[str | None, float | None]:
        """The language of most seconds that have one, and its mean confidence over them."""
        return main_language(self.segments)


def main_language(segments: Iterable[Segment]) -> tuple[str | None, float | None]:
    """The language of most seconds of `segments`, and its mean confidence weighted by seconds."""
    named = [(s.language, s.end - s.start, s.confidence) for s in segments if s.language]
    seconds: dict[str, float] = {}
    for name, length, _ in named:
        seconds[name] = seconds.get(name, 0.0) + length
    if not seconds:
        return None, None
    most = max(sorted(seconds), key=lambda name: seconds[name])
    sure = [(length, c) for name, length, c in named if name == most and c is not None]
    total = sum(length for length, _ in sure)
    return most, sum(length * c for length, c in sure) / total if total > 0 else None


def shifted(segment: Segment, by: float, piece: int) -> Segment:
    """The segment `by` seconds later, on whole milliseconds; speakers are named by their piece."""

    def name(speaker: str | None) -> str | None:
        return f"{piece}/{speaker}" if speaker else None

    words = tuple(
        replace(w, start=ms(w.start + by), end=ms(w.end + by), speaker=name(w.speaker))
        for w in segment.words
    )
    start, end = ms(segment.start + by), ms(segment.end + by)
    return replace(segment, start=start, end=end, words=words, speaker=name(segment.speaker))


def ms(seconds: float) -> float:
    """Seconds on a whole millisecond."""
    return round(seconds, 3) + 0.0


def to_json(transcript: Transcript) -> str:
    """The transcript as the words table holds it: words as [text, start, end, score, speaker]."""
    segments = [
        {
            "start": s.start,
            "end": s.end,
            "text": s.text,
            "language": s.language,
            "confidence": s.confidence,
            "speaker": s.speaker,
            "flags": list(s.flags),
            "words": [[w.text, w.start, w.end, w.score, w.speaker] for w in s.words],
        }
        for s in transcript.segments
    ]
    values = {
        "engine": transcript.engine,
        "seconds": transcript.seconds,
        "voiced": transcript.voiced,
        "segments": segments,
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> Transcript:
    """The inverse of `to_json`."""
    values = json.loads(text)
    segments = tuple(
        Segment(
            **{k: v for k, v in s.items() if k not in {"words", "flags"}},
            flags=tuple(s["flags"]),
            words=tuple(replace(Word(*w), flagged=bool(s["flags"])) for w in s["words"]),
        )
        for s in values["segments"]
    )
    voiced = [(a, b) for a, b in values["voiced"]]
    return Transcript(values["engine"], values["seconds"], voiced, segments)


def protected(transcript: Transcript) -> dict[str, Any]:
    """What a cut has to respect, in milliseconds: {"words": [[start, end]…], "voice": …}.

    Words that an engine is believed on; and voiced stretches without such words, which may hold
    words that nobody wrote down.
    """
    words = [w for w in transcript.words if not w.flagged]
    spans = joined([(w.start, w.end) for w in words])
    bare = [
        (a, b) for a, b in transcript.voiced if not any(s < b and e > a for s, e in near(spans, a))
    ]
    return {
        "words": [[round(w.start * 1000), round(w.end * 1000)] for w in words],
        "voice": [[round(a * 1000), round(b * 1000)] for a, b in bare],
    }


def near(spans: Spans, start: float) -> Spans:
    """The two spans of sorted `spans` that can hold or follow `start` first."""
    at = bisect_right(spans, (start, float("inf")))
    return spans[max(0, at - 1) : at + 1]


def joined(spans: Iterable[tuple[float, float]], gap: float = 0.0) -> Spans:
    """Sorted spans; those that overlap, or part by less than `gap` seconds, become one."""
    result: Spans = []
    for start, end in sorted(spans):
        if result and (start < result[-1][1] or start - result[-1][1] < gap):
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def covered(spans: Spans, start: float, end: float) -> float:
    """Seconds of [start, end) that sorted `spans` cover."""
    return sum(max(0.0, min(end, b) - max(start, a)) for a, b in spans)
