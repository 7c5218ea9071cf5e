"""Signs that a recogniser wrote what nobody said. Such text is kept and flagged, never dropped.

Whisper-like models fill music and silence with loops and with lines of their training subtitles.
"""

import re
import zlib
from collections.abc import Sequence

from pydantic import Field

from curation.settings import Settings
from curation.speech.words import Segment, Spans, covered

NGRAMS = (1, 2, 3, 4, 5, 6)
SHORT_CHARS = 40  # under it a text has too little to compress or to repeat

# Closing credits of subtitles and of videos: whole utterances only, so that a character who says
# "thank you" within a sentence is left alone.
BOILERPLATE = re.compile(
    r"""
    (thanks|thank\ you)(\ so\ much|\ very\ much)?\ for\ (watching|listening|viewing)( .*)?
    | (please\ )?(like\ and\ |like\ comment\ and\ )?subscribe( .*)?
    | .*don'?t\ forget\ to\ (like|subscribe).*
    | .*see\ you\ (all\ )?(in\ the\ )?next\ (video|time|episode)
    | .*(subtitle[sd]|subtitling|captions?|captioned|captioning|transcri(bed|ption|pts?))
      \ (and\ \w+\ )?(by|provided|are\ provided)\b.*
    | .*amara\.?\ ?org.* | .*opensubtitles.* | .*castingwords.* | .*\botter\.?ai\b.*
    | copyright\ .* | all\ rights\ reserved | www\.\S+( .*)?
    | untertitel(ung)?\ (der|im|von|des)\ .* | vielen\ dank\ f.rs\ zuschauen
    | sous-?titr(es|age)\ .*(par|soci.t.).* | merci\ d.avoir\ regard.*
    | subt.tulos\ (realizados\ )?por\ .* | gracias\ por\ ver( .*)?
    | sottotitoli\ (creati|e\ revisione|a\ cura).* | legendas?\ pela\ .*
    | ご視聴ありがとうございました | 请不吝点赞.* | 字幕.* | продолжение\ следует | субтитры\ .*
    """,
    re.VERBOSE | re.IGNORECASE,
)


class GateConfig(Settings):
    """Beyond which values a segment is flagged as a likely hallucination."""

    compression: float = Field(
        2.4, gt=1, description="bytes of the text over its zlib size; Whisper's own limit is 2.4"
    )
    repeats: float = Field(
        0.5, gt=0, le=1, description="share of the words that repeat the phrase just before them"
    )
    words_per_second: float = Field(
        7.0, gt=0, description="words a second of the segment's voice; fast speakers reach 5"
    )
    voice: float = Field(
        0.2, ge=0, le=1, description="share of the segment that must be voiced by the VAD"
    )


def gates(segment: Segment, voiced: Spans, config: GateConfig) -> tuple[str, ...]:
    """Names of the gates that a segment fails, in a fixed order; none without text."""
    text = segment.text
    if not text:
        return ()
    words = plain_words(text)
    length = max(segment.end - segment.start, 1e-3)
    voice = covered(voiced, segment.start, segment.end)
    failed = {
        "compression": compression_ratio(text) > config.compression,
        "repeats": len(text) >= SHORT_CHARS and repeated_share(words) > config.repeats,
        "rate": len(words) > config.words_per_second * max(voice, 0.5),
        "no_speech": voice / length < config.voice,
        "boilerplate": bool(BOILERPLATE.fullmatch(" ".join(words))),
    }
    return tuple(name for name, fails in failed.items() if fails)


def compression_ratio(text: str) -> float:
    """UTF-8 bytes over zlib bytes, as in Radford et al. 2022, §4.5; 1 for short texts."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if len(text) >= SHORT_CHARS else 1.0


def repeated_share(words: Sequence[str]) -> float:
    """Largest share of the words, over phrase lengths of 1 to 6, that repeat the phrase before."""
    best = 0
    for n in NGRAMS:
        same = [words[i] == words[i - n] for i in range(n, len(words))]
        run = count = 0
        for equal in same:
            run = run + 1 if equal else 0
            # A repeat counts once a whole phrase of n words has come again.
            count += n if run == n else 1 if run > n else 0
        best = max(best, count)
    return best / len(words) if words else 0.0


def plain_words(text: str) -> list[str]:
    """Lower-case words without the punctuation around them."""
    stripped = (re.sub(r"^\W+|\W+$", "", word) for word in text.lower().split())
    return [word for word in stripped if word]
