"""What is said in a clip: score columns and words on the clip's clock, cut from a transcript."""

import json
from dataclasses import replace
from typing import Any

from curation.scores import Score
from curation.speech.words import (
    Segment,
    Spans,
    Transcript,
    Word,
    covered,
    main_language,
    ms,
)

SPOKEN = {
    "speech_share": Score("0…1", "share of the clip that is voiced"),
    "words": Score("count", "words whose middle lies in the clip"),
    "words_per_second": Score("1/s", "words a second of voice; null without voice"),
    "language": Score("ISO 639-1", "main language; null where voice is not understood", text=True),
    "language_confidence": Score("0…1", "that the speech is in that language"),
    "asr_confidence": Score("0…1", "mean score of the words; null where no aligner gave one"),
    "speakers": Score("count", "voices heard in the clip; null without diarisation"),
    "word_cut": Score("0 or 1", "an edge lies in a word; null if in voice without words"),
    "hallucination": Score("0…1", "share of the words in segments that a gate flagged"),
    "hallucination_flags": Score("names", "which gates, joined by commas", text=True),
    "transcript": Score("text", "what is said, verbatim", text=True),
    "word_times": Score(
        "JSON", "[[text, start, end, score, speaker, flagged]…] on the clip's clock", text=True
    ),
}
EDGE_S = 1e-3  # times are whole milliseconds
NEAR_S = 30.0  # beyond the longest voiced stretch


def clip_words(transcript: Transcript, start: float, end: float) -> list[Word]:
    """Words of [start, end) of the film, with times on the clip's clock (0 at `start`).

    A word belongs to the clip that holds its middle; its times are cut to the clip.
    """
    words = []
    for word in transcript.words:
        if start <= (word.start + word.end) / 2 < end:
            first, last = max(word.start, start) - start, min(word.end, end) - start
            words.append(replace(word, start=ms(first), end=ms(last)))
    return words


def parse_words(text: str | None) -> list[Word]:
    """Words of the column `word_times`, none for null."""
    return [Word(*values) for values in json.loads(text)] if text else []


def believed(clip: dict[str, Any]) -> str | None:
    """The transcript of a clip's row without the words that a gate flagged: what may be quoted.

    None where nobody listened, and where no word is left: what was flagged says nothing about what
    was spoken, nor that nothing was. Flagged words that cannot be told apart take all others along.
    """
    text: str | None = clip.get("transcript")
    if not clip.get("hallucination"):
        return text
    return " ".join(str(word.text) for word in believed_words(clip)) or None


def believed_words(clip: dict[str, Any]) -> list[Word]:
    """Words of a clip's row that no gate flagged; none where its `word_times` cannot be read."""
    try:
        return [word for word in parse_words(clip.get("word_times")) if not word.flagged]
    except (ValueError, TypeError, RecursionError):
        return []


def spoken_scores(transcript: Transcript, start: float, end: float) -> dict[str, Any]:
    """The columns of SPOKEN for the clip [start, end) of a film. What is not available is null."""
    transcript = around(transcript, start, end)
    words = clip_words(transcript, start, end)
    segments = [s for s in transcript.segments if s.start < end and s.end > start]
    voice = covered(transcript.voiced, start, end)
    spoken = [trimmed(s, start, end) for s in segments]
    language, confidence = main_language(spoken)
    scores = [word.score for word in words if word.score is not None]
    flags = sorted({flag for s in segments for flag in s.flags})
    speakers = {word.speaker for word in words if word.speaker is not None}
    unheard = any(s.text is None for s in segments) and not words
    columns = {
        "speech_share": voice / (end - start),
        "words": None if unheard else float(len(words)),
        "words_per_second": len(words) / voice if voice > 0 and not unheard else None,
        "language": language,
        "language_confidence": confidence,
        "asr_confidence": sum(scores) / len(scores) if scores else None,
        "speakers": float(len(speakers)) if speakers else None if words or voice else 0.0,
        "word_cut": word_cut(transcript, start, end),
        "hallucination": sum(w.flagged for w in words) / len(words) if words else None,
        "hallucination_flags": ",".join(flags) or None,
        "transcript": None if unheard else " ".join(word.text for word in words),
        "word_times": json.dumps(
            [[w.text, w.start, w.end, w.score, w.speaker, w.flagged] for w in words],
            ensure_ascii=False,
        ),
    }
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in columns.items()}


def around(transcript: Transcript, start: float, end: float) -> Transcript:
    """The transcript near [start, end): a film has a thousand clips and ten thousand words."""
    first, last = start - NEAR_S, end + NEAR_S
    voiced = [(a, b) for a, b in transcript.voiced if a < last and b > first]
    segments = tuple(s for s in transcript.segments if s.start < last and s.end > first)
    return replace(transcript, voiced=voiced, segments=segments)


def trimmed(segment: Segment, start: float, end: float) -> Segment:
    """The part of a segment within [start, end), for weights by seconds."""
    return replace(segment, start=max(segment.start, start), end=min(segment.end, end))


def word_cut(transcript: Transcript, start: float, end: float) -> float | None:
    """1 where an edge lies inside a word that is believed, 0 where none does.

    Null where an edge lies in voice for which there are no words: it may cut one.
    """
    believed = [(w.start, w.end) for w in transcript.words if not w.flagged]
    if any(is_inside(believed, edge) for edge in (start, end)):
        return 1.0
    bare = [(a, b) for a, b in transcript.voiced if not any(s < b and e > a for s, e in believed)]
    return None if any(is_inside(bare, edge) for edge in (start, end)) else 0.0


def is_inside(spans: Spans, time: float) -> bool:
    """Whether `time` lies inside a span by more than EDGE_S."""
    return any(a + EDGE_S < time < b - EDGE_S for a, b in spans)
