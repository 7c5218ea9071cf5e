"""Captions of a clip: from a sidecar, from the manifest, or composed from measured evidence.

Caption text is data from strangers. It is cleaned to one printable line, capped, and its angle
brackets go, because the structured variant speaks in tags; whoever shows it escapes it again.
"""

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any

from curation.records import Reason, RejectedError, clean

MAX_CHARS = 2_000
SIDECAR_BYTES = 4 << 20
MOST_SEGMENTS = 10_000
TAGS = ("text", "sfx", "dialogue", "singing", "bgm")  # SkyReels-V4 §3: always this order
SHORT_CHARS = 200
SOUND_TAGS = {"music": "bgm", "singing": "singing"}  # where the words about sound stand, by class
# The scores of the scan that evidence is composed from.
MEASURED = ("brightness", "colours", "frozen_share", "motion", "camera_motion", "has_sound",
            "loudness_lufs", "centroid_hz", "onset_rate")  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Captions:
    """Three variants of one description, and where they come from."""

    short: str
    long: str
    structured: str
    provenance: str


def safe(text: object) -> str:
    """Untrusted caption text as one plain line without markup."""
    if not isinstance(text, str):
        return ""
    return clean(text.replace("<", " ").replace(">", " "), MAX_CHARS)


def structured(parts: dict[str, str]) -> str:
    """Parts in TAGS order, each between its tags: `<text>…</text><sfx>…</sfx>…`."""
    return "".join(f"<{tag}>{safe(parts.get(tag, ''))}</{tag}>" for tag in TAGS)


def from_words(words: Row, provenance: str) -> Captions | None:
    """Captions from `short`, `long`, `structured` or a plain `caption`; None when all are empty.

    A variant that is missing is made from the others.
    """
    plain, short, long = (safe(words.get(name)) for name in ("caption", "short", "long"))
    parts = words.get("structured")
    parts = parts if isinstance(parts, dict) else {"text": parts}
    parts = {tag: safe(parts.get(tag)) for tag in TAGS}
    long = long or plain or short or " ".join(p for p in parts.values() if p)
    if not long:
        return None
    short = short or cut_short(plain or long)
    return Captions(short, long, structured(parts | {"text": parts["text"] or long}), provenance)


def cut_short(text: str) -> str:
    """The first sentence, or as many whole words as SHORT_CHARS hold."""
    first = text.split(". ", maxsplit=1)[0].rstrip(".")
    if len(first) <= SHORT_CHARS:
        return first
    return first[:SHORT_CHARS].rpartition(" ")[0] or first[:SHORT_CHARS]


def parse_sidecar(data: bytes) -> list[Row]:
    """Segments of a `<stem>.captions.json`. Raises RejectedError(bad_caption).

    Either {"segments": [{"start", "end", "short", "long", "structured"}, …]} in seconds, or one
    such object for the whole film.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RejectedError(Reason.BAD_CAPTION, f"sidecar: {error}") from error
    if not isinstance(value, dict):
        raise RejectedError(Reason.BAD_CAPTION, "a sidecar is one JSON object")
    segments = value.get("segments", [value])
    if not isinstance(segments, list) or len(segments) > MOST_SEGMENTS:
        raise RejectedError(
            Reason.BAD_CAPTION, f"segments must be a list of at most {MOST_SEGMENTS}"
        )
    return [s for s in segments if isinstance(s, dict)]


def overlap(segment: Row, start: float, end: float) -> float:
    """Seconds that a segment shares with [start, end); one without times is about everything."""
    begins, ends = segment.get("start", 0.0), segment.get("end", end)
    if not (is_number(begins) and is_number(ends)):
        return 0.0
    return max(0.0, min(end, ends) - max(start, begins))


def is_number(value: object) -> bool:
    """Whether JSON gave a finite number (true and false are none, NaN is not finite)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def choose(segments: list[Row], start: float, end: float) -> Row | None:
    """The segment that shares most time with [start, end), the first among equals."""
    best = max(segments, key=lambda s: overlap(s, start, end), default=None)
    return best if best is not None and overlap(best, start, end) > 0 else None


def from_evidence(scores: Row, read: str = "", said: str = "") -> Captions:
    """What was measured, in words. It names no object, and its provenance says so.

    `read` and `said` are sentences about text on screen and speech, where other passes found some.
    """
    look = appearance(scores)
    move = movement(scores)
    hear = hearing(scores)
    text = " ".join(filter(None, [f"{look}. {move}.", read]))
    tag = SOUND_TAGS.get(scores.get("sound_class") or "", "sfx")
    return Captions(
        short=safe(f"{look.lower()}, {move.lower()}, {hear.lower()}"),
        long=safe(" ".join(filter(None, [text, f"{hear}.", said]))),
        structured=structured({"text": text, tag: hear, "dialogue": said}),
        provenance="evidence",
    )


def grade(value: float | None, steps: tuple[tuple[float, str], ...], top: str) -> str:
    """The word of the first step that `value` stays below."""
    if value is None:
        return ""
    return next((word for limit, word in steps if value < limit), top)


def appearance(scores: Row) -> str:
    """Light and colours."""
    light = grade(scores.get("brightness"), ((0.15, "dark"), (0.6, "")), "bright")
    colours = (scores.get("colours") or "").split(", ")
    names = " and ".join(", ".join(filter(None, colours)).rsplit(", ", 1))
    return " ".join(f"A {light} picture in {names or 'mixed colours'}".split())


def movement(scores: Row) -> str:
    """Subject and camera motion."""
    if (scores.get("frozen_share") or 0.0) > 0.9:
        return "Nothing moves"
    speed = scores.get("motion")
    subject = grade(speed, ((0.05, "Slow motion"), (0.3, "Motion")), "Fast motion") or "Motion"
    still = (scores.get("camera_motion") or 0.0) < 0.05
    return f"{subject}, {'the camera is still' if still else 'the camera moves'}"


def hearing(scores: Row) -> str:
    """Loudness, onsets and brightness of the sound."""
    if not scores.get("has_sound"):
        return "No sound"
    level = grade(scores.get("loudness_lufs"), ((-40, "quiet"), (-16, "")), "loud")
    tone = grade(scores.get("centroid_hz"), ((500, "low"), (2000, "")), "bright")
    rate = scores.get("onset_rate") or 0.0
    kind = "steady sound" if rate < 0.3 else "sudden sounds"
    often = f", about {rate:.1f} a second" if rate >= 0.3 else ""
    words = " ".join(filter(None, [level, tone, kind]))
    return words[0].upper() + words[1:] + often
