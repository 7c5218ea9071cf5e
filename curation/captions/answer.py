"""What a captioner answered: read, and checked against the schema and the request's identity."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from curation.captions.description import Description
from curation.captions.questions import Questions, YesNo
from curation.records import clean

ANSWER_CHARS = 100_000
REFUSALS = re.compile(
    r"^\W*(?:i['’]?m sorry|sorry,|i apologi[sz]e|as an ai\b"
    r"|i (?:can(?:no|['’])?t|won['’]t|am (?:unable|not able))|i['’]m (?:unable|not able))",
    re.IGNORECASE,
)


class CaptionStatus(StrEnum):
    """What became of the question about one clip."""

    OK = "ok"
    TRUNCATED = "truncated"  # the answer ran into the token limit
    REFUSED = "refused"  # the model would not say
    FAILED = "failed"  # no answer that fits schema and identity; the detail says why


class Trouble(StrEnum):
    """What can be wrong with an answer."""

    TRUNCATED = "truncated"
    REFUSED = "refused"
    MALFORMED = "malformed"  # no JSON object, or one that does not fit the schema
    MISMATCHED = "mismatched"  # about another clip, or of no known request
    LATE = "late"  # to a request that was given up
    DUPLICATE = "duplicate"  # to a request that was answered, or two answers in one


class AnswerError(Exception):
    """An answer that is not taken. Truncated and refused ones are final, others worth a retry."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        self.trouble = trouble
        self.detail = clean(detail)
        super().__init__(f"{trouble}: {self.detail}")

    @property
    def final(self) -> bool:
        """Whether the same question would get the same answer."""
        return self.trouble in (Trouble.TRUNCATED, Trouble.REFUSED)

    @property
    def status(self) -> CaptionStatus:
        """The caption's status if nothing better comes."""
        return CaptionStatus(self.trouble) if self.final else CaptionStatus.FAILED


@dataclass(frozen=True)
class Reply:
    """The words of a model and why they ended."""

    text: str
    truncated: bool = False
    refusal: str = ""


@dataclass(frozen=True)
class Outcome:
    """The end of all attempts on one clip."""

    status: CaptionStatus
    told: Description | YesNo | None = None
    detail: str = ""
    unreachable: bool = False  # no fault of the clip: a later run asks again


class Desk:
    """Who asked what: a request has its nonce for itself, an answer is taken once, by its asker."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}  # nonce -> clip_id
        self._closed: dict[str, Trouble] = {}

    def open(self, clip_id: str, nonce: str) -> None:
        """Note a request before it is sent."""
        assert nonce not in self._open, "a nonce is used once"
        assert nonce not in self._closed, "a nonce is used once"
        self._open[nonce] = clip_id

    def give_up(self, nonce: str) -> None:
        """Nobody waits for this request any more; an answer to it is late."""
        if self._open.pop(nonce, None):
            self._closed[nonce] = Trouble.LATE

    def take(
        self, reply: Reply, clip_id: str, nonce: str, questions: Questions = ()
    ) -> Description | YesNo:
        """What an answer to (clip_id, nonce) tells: a description, or answers to `questions`.

        Raises AnswerError.
        """
        value = one_object(reply)
        told = value.pop("nonce", None), value.pop("clip_id", None)
        if told == (None, None):
            raise AnswerError(Trouble.MALFORMED, "an object without clip_id and nonce")
        if told != (nonce, clip_id):
            trouble = self._closed.get(str(told[0]), Trouble.MISMATCHED)
            raise AnswerError(trouble, f"asked about {clip_id} {nonce}, told {told[1]} {told[0]}")
        if self._open.get(nonce) != clip_id:
            raise AnswerError(
                self._closed.get(nonce, Trouble.MISMATCHED), f"nobody waits for {clip_id} {nonce}"
            )
        found = yes_no(value, questions) if questions else describe(value)
        del self._open[nonce]
        self._closed[nonce] = Trouble.DUPLICATE
        return found


def one_object(reply: Reply) -> dict[str, Any]:
    """The one JSON object of a reply, bare or inside other text. Raises AnswerError."""
    if reply.refusal:
        raise AnswerError(Trouble.REFUSED, reply.refusal)
    text = reply.text.strip()
    if len(text) > ANSWER_CHARS:
        raise AnswerError(Trouble.MALFORMED, f"an answer of {len(text)} characters")
    if not text.startswith("{"):  # a bare object may quote that tag
        text = text.rpartition("</think>")[2].strip()
    found = list(objects(text))
    if reply.truncated and (len(found) != 1 or not text.rstrip("`\n ").endswith("}")):
        raise AnswerError(Trouble.TRUNCATED, f"the answer ends after {len(text)} characters")
    if not found:
        if REFUSALS.match(text):
            raise AnswerError(Trouble.REFUSED, text)
        raise AnswerError(Trouble.MALFORMED, f"no JSON object in {text[:100]!r}")
    if len(found) > 1:
        raise AnswerError(Trouble.DUPLICATE, f"{len(found)} objects in one answer")
    return found[0]


def objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects that stand in a text side by side; what is inside one is not another."""
    decoder = json.JSONDecoder()
    place = text.find("{")
    tried = 0
    while place >= 0 and tried < 100:
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            tried, end = tried + 1, place + 1
        else:
            if isinstance(value, dict):
                yield value
        place = text.find("{", end)


def describe(value: dict[str, Any]) -> Description:
    """The typed description. Raises AnswerError(malformed) naming the fields that do not fit."""
    try:
        told = Description(**value)
    except ValidationError as error:
        raise AnswerError(Trouble.MALFORMED, wrong_fields(error)) from error
    if not any(told.model_dump(exclude={"absent"}).values()):
        raise AnswerError(Trouble.MALFORMED, "every field is empty")
    return told


def yes_no(value: dict[str, Any], questions: Questions) -> YesNo:
    """An answer to each of the questions and to no other. Raises AnswerError(malformed)."""
    try:
        told = YesNo(**value)
    except ValidationError as error:
        raise AnswerError(Trouble.MALFORMED, wrong_fields(error)) from error
    asked, said = {name for name, _ in questions}, set(told.answers)
    if asked != said:
        lacks, more = ", ".join(sorted(asked - said)), ", ".join(sorted(said - asked))
        raise AnswerError(Trouble.MALFORMED, f"no answer to: {lacks}; answers to: {more}")
    return told


def wrong_fields(error: ValidationError) -> str:
    """The first few fields that do not fit, and why."""
    return "; ".join(
        f"{'.'.join(map(str, issue['loc']))} {issue['msg'].removeprefix('Value error, ')}"
        for issue in error.errors(include_input=False, include_url=False)[:5]
    )
