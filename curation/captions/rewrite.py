"""What a second model may change of a caption that it only read: checked, and told by field.

It merges and rewords. What was heard and read stays letter by letter, and a number or a name that
no source has is refused with the whole answer: the first caption then stays.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from curation.captions.description import Description
from curation.captions.request import evidence

NUMBER = re.compile(r"\d+")
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|[\"“]\s*)$")
MEASURED = {  # fields that stay empty unless the first caption or one of these words fills them
    "singing": ("sing", "vocal", "choir", "rapping", "chant"),
    "music": ("music", "instrument", "singing"),
}

Row = dict[str, Any]


def check_rewrite(first: Description, second: Description, clip: Row) -> None:
    """Raises ValueError that says what the second pass changed or made up."""
    if [s.words for s in second.speech] != [s.words for s in first.speech]:
        raise ValueError("speech: the words are not those of the first caption")
    if second.on_screen_text != first.on_screen_text:
        raise ValueError("on_screen_text: not that of the first caption")
    found = evidence(clip)
    heard = f"{found.get('sound_events', '')} {found.get('sound_class', '')}".lower()
    for field, words in MEASURED.items():
        told = getattr(second, field) and not getattr(first, field)
        if told and not any(word in heard for word in words):
            raise ValueError(f"{field}: no source has any")
    sources = json.dumps([first.model_dump(), found], ensure_ascii=False).lower()
    known = set(NUMBER.findall(sources)) | set(WORD.findall(sources))
    for field, text in own_words(second):
        for word in (*NUMBER.findall(text), *names(text)):
            if word.lower() not in known:
                raise ValueError(f"{field}: {word!r} is in no source")


def own_words(told: Description) -> Iterator[tuple[str, str]]:
    """(field, text) of what the model said itself."""
    for field, value in told.model_dump(exclude={"on_screen_text", "speech"}).items():
        for text in [value] if isinstance(value, str) else value:
            yield field, text
    for said in told.speech:
        yield from (("speech", said.speaker), ("speech", said.delivery))


def names(text: str) -> Iterator[str]:
    """Words with a capital that begin no sentence."""
    for match in WORD.finditer(text):
        if match[0][0].isupper() and not SENTENCE_START.search(text[: match.start()]):
            yield match[0]


def sources_of(
    first: Description, second: Description, sources: dict[str, str], teller: str
) -> dict[str, str]:
    """{field: source} of the second caption: its model where it changed a field, else as it was."""
    told, before = {}, first.model_dump()
    for field, value in second.model_dump().items():
        same = value == before[field]
        if value and field in ("speech", "on_screen_text"):
            told[field] = sources[field]  # words are checked to be the same
        elif value:
            told[field] = sources[field] if same else teller
    if second.speech != first.speech:
        told["speech.delivery"] = teller
    elif "speech.delivery" in sources:
        told["speech.delivery"] = sources["speech.delivery"]
    return told
