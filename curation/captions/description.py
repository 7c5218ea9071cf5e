"""What a caption says: a typed description of picture and sound, and its three renderings.

The text of a description is a model's, and the model saw and heard strangers' media: every field is
one printable line of bounded length without control tokens or web addresses, or it is refused.
"""

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from curation.captions.words import SHORT_CHARS, Captions, safe, structured

TOLD_CHARS, VERBATIM_CHARS, NAME_CHARS = 500, 1_000, 80
MOST_ITEMS = 16  # of any list: 15 s of film hold no more shots or lines worth a caption

# An address as people write it; a bare `name.tld` only for endings that are not also words.
ADDRESS = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,20}://|\bwww\.|\bmailto:|\bjavascript:|\bdata:\w+/)\S*"
    r"|\b[\w.+-]+@[\w-]+\.\w{2,}"
    r"|\b(?:[\w-]+\.)+(?:com|net|org|io|ai|dev|gov|edu|ru|cn|de|fr|uk|xyz|info|biz)\b(?:/\S*)?",
    re.IGNORECASE,
)
# Control tokens of tokenizers: <|im_end|>, </s>, <start_of_turn>, [INST], [/INST], [SEP].
TOKEN = re.compile(
    r"<\s*[|/!]?\s*[\w▁|｜][^<>]{0,60}>|<[|｜]|[|｜]>"
    r"|\[/?(?:INST|SYS|SEP|CLS|MASK|PAD|UNK|BOS|EOS|[gs]MASK|IMG\w*|TOOL\w*|SYSTEM\w*|AVAILABLE\w*)\]"
)


def line(limit: int) -> Callable[[str], str]:
    """A check of one field that a model says in its own words. White space becomes single blanks.

    Raises ValueError that says what is wrong.
    """

    def check(text: str) -> str:
        text = " ".join(text.split())
        if len(text) > limit:
            raise ValueError(f"has {len(text)} characters; at most {limit}")
        if not text.isprintable():
            raise ValueError("has characters that cannot be printed")
        if TOKEN.search(text):
            raise ValueError("has markup or a control token")
        if ADDRESS.search(text):
            raise ValueError("has a web address")
        return text

    return check


def quote(text: object) -> str:
    """What was read or heard in media, as one plain line: cleaned and cut, never refused.

    A clip must not be lost, or treated otherwise, for what somebody says or shows in it. Control
    tokens go, addresses become (address), angle brackets blanks.
    """
    plain = ADDRESS.sub("(address)", TOKEN.sub(" ", text)) if isinstance(text, str) else ""
    return safe(plain)[:VERBATIM_CHARS]


# Lengths are checked after parsing and are not in the JSON schema: engines that decode under a
# grammar differ in which keywords they know, and an unknown one fails the request.
Told = Annotated[str, AfterValidator(line(TOLD_CHARS))]
Name = Annotated[str, AfterValidator(line(NAME_CHARS))]
Verbatim = Annotated[str, AfterValidator(quote)]


def few(items: list[str]) -> list[str]:
    """At most MOST_ITEMS, none empty. Raises ValueError."""
    if len(items) > MOST_ITEMS:
        raise ValueError(f"has {len(items)} items; at most {MOST_ITEMS}")
    return [item for item in items if item]


def few_lines(lines: list["Spoken"]) -> list["Spoken"]:
    """The same of spoken lines; one without words says nothing. Raises ValueError."""
    if len(lines) > MOST_ITEMS:
        raise ValueError(f"has {len(lines)} lines; at most {MOST_ITEMS}")
    return [line for line in lines if line.words]


class Spoken(BaseModel):
    """One line of speech."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speaker: Name = Field(description="who speaks, as seen or heard: 'a young woman', 'narrator'")
    delivery: Name = Field(description="how: pace, mood, loudness, accent, language")
    words: Verbatim = Field(description="the exact words, in their own language")


class Description(BaseModel):
    """One clip, by eye and ear. A field of which nothing can be said is empty, never guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: Told = Field(description="who or what it is about, a noun phrase")
    action: Told = Field(description="what happens, in order; a verb phrase that continues subject")
    scene: Told = Field(description="place, time of day, light, style, colours")
    camera: Told = Field(description="framing, angle, movement; 'the camera is still' if it is")
    shots: Annotated[list[Told], AfterValidator(few)] = Field(
        description="one sentence a shot, in order; empty when there is one shot"
    )
    on_screen_text: Annotated[list[Verbatim], AfterValidator(few)] = Field(
        description="text that can be read in the picture, verbatim"
    )
    speech: Annotated[list[Spoken], AfterValidator(few_lines)] = Field(
        description="spoken lines in order"
    )
    singing: Told = Field(description="who sings, how, what about; empty without singing")
    effects: Annotated[list[Told], AfterValidator(few)] = Field(
        description="distinct sounds in order, each with its source"
    )
    music: Told = Field(description="background music: instruments, mood, tempo; empty without")
    ambience: Told = Field(description="steady background sound: wind, traffic, room tone")
    absent: Annotated[list[Told], AfterValidator(few)] = Field(
        description="what one might expect and is not there: 'speech', 'music', 'people'"
    )


def render(told: Description, provenance: str) -> Captions:
    """Short, long and structured text of one description."""
    core = phrase(told)
    picture = [core, told.scene, told.camera, *told.shots]
    picture.append(on_screen(told.on_screen_text))
    lines = [spoken(s) for s in told.speech]
    nothing = f"No {join(told.absent, 'and no')}" if told.absent else ""
    heard = [*lines, told.singing, *told.effects, told.music, told.ambience, nothing]
    text = sentences(picture)
    noises = sentences([*told.effects, told.ambience])
    return Captions(
        short=shorten([core or told.scene, sound(told)]),
        long=safe(" ".join(filter(None, [text, sentences(heard)]))),
        structured=structured(
            {
                "text": sentences([text, nothing]),
                "sfx": noises,
                "dialogue": sentences(lines),
                "singing": sentences([told.singing]),
                "bgm": sentences([told.music]),
            }
        ),
        provenance=provenance,
    )


def phrase(told: Description) -> str:
    """Subject and action in one clause; an action that names the subject itself stands alone."""
    subject, action = told.subject.rstrip(". "), told.action.rstrip(". ")
    if subject and action.lower().startswith(subject.lower()):
        return action
    return " ".join(filter(None, [subject, action]))


def sound(told: Description) -> str:
    """The sound that matters most, for the short caption."""
    if told.speech:
        who = told.speech[0].speaker or "someone"
        return f"{who} speaks"
    return next(filter(None, [told.singing, *told.effects, told.music, told.ambience]), "")


def shorten(parts: list[str]) -> str:
    """Parts as one clause of at most SHORT_CHARS; a part that does not fit whole is left out, the
    first is cut between words.
    """
    text = ""
    for part in filter(None, (safe(p).rstrip(". ") for p in parts)):
        longer = f"{text}; {part}" if text else part
        if len(longer) <= SHORT_CHARS:
            text = longer
        elif not text:
            text = part[:SHORT_CHARS].rpartition(" ")[0] or part[:SHORT_CHARS]
    return text


def spoken(said: Spoken) -> str:
    """`A young woman says, softly: "…"`."""
    who = said.speaker or "A voice"
    how = f", {said.delivery}" if said.delivery else ""
    return f"{who} says{how}: {quoted(said.words)}"


def on_screen(lines: list[str]) -> str:
    """What can be read in the picture, as a clause; empty without."""
    return f"On-screen text reads {join([quoted(line) for line in lines])}" if lines else ""


def quoted(text: str) -> str:
    """Text in double quotes, its own double quotes made single."""
    return '"' + text.replace('"', "'") + '"'


def join(items: list[str], last: str = "and") -> str:
    """a, b and c."""
    return f" {last} ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else ""


def sentences(parts: list[str]) -> str:
    """Parts as sentences: a capital first, a full stop last."""
    done = []
    for part in filter(None, (p.strip() for p in parts)):
        end = "" if part.rstrip("\"'”’)")[-1:] in ".!?…。！？" else "."
        done.append(part[0].upper() + part[1:] + end)
    return " ".join(done)
