"""A model's description and what other passes heard and read become one, with a source a field.

What is spoken comes from the transcript where there is one: a model may add who speaks and how, but
no words. Words that a gate flagged are no transcript. Text on screen comes from the OCR where it
read any.
"""

from difflib import SequenceMatcher
from itertools import groupby
from typing import Any

from curation.captions.description import (
    MOST_ITEMS,
    Description,
    Spoken,
    on_screen,
    quote,
    sentences,
    spoken,
)
from curation.captions.words import Captions, from_evidence
from curation.spoken import believed, believed_words

ALIKE = 0.5  # share of words that a model's line and a transcript's must share to be the same line
OCR_PARTS = " | "  # how the judge of text parts its lines
ASR, OCR, EVIDENCE = "asr", "ocr", "evidence"

Row = dict[str, Any]


def weave(told: Description, clip: Row, teller: str) -> tuple[Description, dict[str, str]]:
    """The description with verbatim speech and text, and {field: source} of what says something.

    `teller` names the model. Speech that no transcript backs is marked `<teller> (unverified)`.
    """
    sources = {name: teller for name, value in told.model_dump().items() if value}
    update: dict[str, Any] = {}
    if believed(clip) is None:
        if told.speech:
            sources["speech"] = f"{teller} (unverified)"
    else:
        update["speech"] = speech = verbatim(transcript_lines(clip), told.speech)
        sources["speech"] = ASR
        if any(s.speaker or s.delivery for s in speech):
            sources["speech.delivery"] = teller
    if read := ocr_lines(clip):
        update["on_screen_text"] = read
        sources["on_screen_text"] = OCR
    return told.model_copy(update=update), sources


def told_by_evidence(clip: Row) -> tuple[Captions, dict[str, str]]:
    """Words about what was measured, with what was read and said in it, and {part: source}."""
    read, lines = on_screen(ocr_lines(clip)), transcript_lines(clip)
    said = sentences([spoken(Spoken(speaker="", delivery="", words=line)) for line in lines])
    sources = {"text": EVIDENCE, "sound": EVIDENCE}
    sources |= {"on_screen_text": OCR} if read else {}
    sources |= {"speech": ASR} if said else {}
    return from_evidence(clip, read and f"{read}.", said), sources


def transcript_lines(clip: Row) -> list[str]:
    """Spoken lines of a clip, a line a turn where the words say who spoke; [] when nobody did."""
    whole = quote(believed(clip))
    turns = groupby(believed_words(clip), key=lambda word: word.speaker)
    lines = [quote(" ".join(str(word.text) for word in turn)) for _, turn in turns]
    lines = [line for line in lines if line]
    if " ".join(lines) != whole or len(lines) > MOST_ITEMS:
        lines = [whole] if whole else []
    return lines


def ocr_lines(clip: Row) -> list[str]:
    """Lines that were read in the picture, each once."""
    text = clip.get("text")
    if not isinstance(text, str):
        return []
    lines = (quote(line) for line in text.split(OCR_PARTS.strip()))
    return list(dict.fromkeys(line for line in lines if line))[:MOST_ITEMS]


def verbatim(lines: list[str], told: list[Spoken]) -> list[Spoken]:
    """The lines with speaker and delivery of the model's line that is most like each."""
    spoken = []
    for line in lines:
        near = max(told, key=lambda s: likeness(line, s.words), default=None)
        alone = len(lines) == len(told) == 1
        if near is None or not (alone or likeness(line, near.words) >= ALIKE):
            near = Spoken(speaker="", delivery="", words=line)
        spoken.append(Spoken(speaker=near.speaker, delivery=near.delivery, words=line))
    return spoken


def likeness(a: str, b: str) -> float:
    """Share of words, in order, that two lines have in common, 0…1."""
    return SequenceMatcher(None, a.lower().split(), b.lower().split(), autojunk=False).ratio()
