"""Answers of models: read, checked, and taken only by who asked."""

import json

import pytest

from curation.captions.answer import AnswerError, Desk, Reply, Trouble
from tests.curation.test_captions_description import FULL

ONE, TWO = ("0" * 16 + "-0-1000", "aaaa0001"), ("1" * 16 + "-0-1000", "bbbb0002")


def told(clip=ONE, **more):
    return json.dumps({"clip_id": clip[0], "nonce": clip[1]} | FULL | more)


@pytest.fixture
def desk():
    desk = Desk()
    desk.open(*ONE)
    desk.open(*TWO)
    return desk


def trouble(desk, reply, asker=ONE):
    with pytest.raises(AnswerError) as caught:
        desk.take(reply, *asker)
    return caught.value.trouble


@pytest.mark.parametrize(
    "text",
    [
        told(), f"```json\n{told()}\n```", f"Here: {told()} Good?",
        f'<think>{{"a": 1}} hm</think>{told()}',
        told(speech=[{"speaker": "", "delivery": "", "words": "a </think> b"}]),
    ],
)  # fmt: skip
def test_one_object_is_found_in_whatever_stands_around_it(desk, text):
    """An answer that is lost to a fence, to thinking aloud, or to politeness."""
    assert desk.take(Reply(text), *ONE).subject == FULL["subject"]


def test_an_answer_is_taken_once_and_by_its_asker(desk):
    """A caption of another clip, of an earlier attempt, or a second one over the first."""
    assert trouble(desk, Reply(told(TWO))) == Trouble.MISMATCHED
    assert trouble(desk, Reply(told((ONE[0], TWO[1])))) == Trouble.MISMATCHED
    assert trouble(desk, Reply(told((ONE[0], "cccc0003")))) == Trouble.MISMATCHED
    desk.take(Reply(told()), *ONE)
    assert trouble(desk, Reply(told())) == Trouble.DUPLICATE
    desk.open(ONE[0], "dddd0004")
    assert trouble(desk, Reply(told()), (ONE[0], "dddd0004")) == Trouble.DUPLICATE
    desk.give_up("dddd0004")
    assert trouble(desk, Reply(told((ONE[0], "dddd0004"))), (ONE[0], "dddd0004")) == Trouble.LATE
    assert desk.take(Reply(told(TWO)), *TWO)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(""), Trouble.MALFORMED),
        (Reply("[1, 2]"), Trouble.MALFORMED),
        (Reply("{" * 50_000), Trouble.MALFORMED),
        (Reply('{"subject": "x"}'), Trouble.MALFORMED),
        (Reply(told(scene="http://x.example")), Trouble.MALFORMED),
        (
            Reply(told(**{n: type(v)() for n, v in FULL.items() if n != "absent"})),
            Trouble.MALFORMED,
        ),
        (Reply(told() + "." * 200_000), Trouble.MALFORMED),
        (Reply(told() + told(subject="other")), Trouble.DUPLICATE),
        (Reply(told()[:300], truncated=True), Trouble.TRUNCATED),
        (Reply(told()[:-60], truncated=True), Trouble.TRUNCATED),
        (Reply("", refusal="no"), Trouble.REFUSED),
        (Reply("I'm sorry, I can't describe this video."), Trouble.REFUSED),
        (Reply("I cannot help with that."), Trouble.REFUSED),
    ],
)
def test_what_is_wrong_has_a_name(desk, reply, expected):
    """A cut answer of which an inner object passes for the whole, or a refusal asked for again."""
    assert trouble(desk, reply) == expected
