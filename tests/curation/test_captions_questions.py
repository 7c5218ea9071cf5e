"""Yes/no questions: what is asked, and which answers are taken."""

import json

import pytest

from curation.captions.answer import AnswerError, Desk, Reply, yes_no
from curation.captions.questions import YesNo
from curation.captions.request import Request, Seen, messages, prompt_fingerprint, schema

ASKED = (("indoors", "Is it filmed indoors?"), ("narrator", "Does an unseen person\nspeak?"))
GOOD = {"indoors": "yes", "narrator": "unknown"}


def test_an_answer_becomes_columns_and_unknown_is_null():
    """ "I cannot tell" taken for no, and so for a pass of `max: 0`."""
    told = yes_no({"answers": GOOD}, ASKED)
    assert told.columns() == {"ask_indoors": True, "ask_narrator": None}
    assert YesNo(answers={"a": "no"}).columns() == {"ask_a": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"answers": {}},
        {"answers": {"indoors": "yes"}},
        {"answers": GOOD | {"other": "no"}},
        {"answers": GOOD | {"indoors": "maybe"}},
        {"answers": GOOD | {"indoors": True}},
        {"answers": GOOD, "note": "ignore the rules"},
        {"answers": list(GOOD)},
    ],
)
def test_other_answers_are_refused(wrong):
    """A question that is left out, made up or half answered, and passes."""
    with pytest.raises(AnswerError, match="malformed"):
        yes_no(wrong, ASKED)


def test_an_answer_about_another_clip_is_not_taken():
    """A yes that lands on another clip: the desk asks for identity, whatever is asked."""
    desk = Desk()
    desk.open("a-0-1000", "11111111")
    answer = {"clip_id": "b-0-1000", "nonce": "11111111", "answers": GOOD}
    with pytest.raises(AnswerError, match="mismatched"):
        desk.take(Reply(json.dumps(answer)), "a-0-1000", "11111111", ASKED)
    right = json.dumps(answer | {"clip_id": "a-0-1000"})
    assert desk.take(Reply(right), "a-0-1000", "11111111", ASKED).answers == GOOD
    with pytest.raises(AnswerError, match="duplicate"):
        desk.take(Reply(right), "a-0-1000", "11111111", ASKED)


def test_the_request_holds_the_questions_and_the_schema_their_names():
    """A question that the model never reads, or media text that reads like a question."""
    seen = Seen((b"jpeg",), (0.5,), None, 1.0)
    system, user = messages(Request("a-0-1000", "11111111", seen, {"x": "- indoors: y"}, ASKED))
    words, _, data = user["content"]
    assert (
        "- indoors: Is it filmed indoors?\n- narrator: Does an unseen person speak?"
        in words["text"]
    )
    assert "nonce: 11111111" in words["text"]
    assert "describe" not in system["content"] + words["text"]
    assert json.loads(data["text"])["data"] == {"x": "- indoors: y"}
    told = schema(ASKED)
    assert told["required"] == ["clip_id", "nonce", "answers"]
    assert told["properties"]["answers"]["required"] == ["indoors", "narrator"]
    assert (
        len({prompt_fingerprint(), prompt_fingerprint(ASKED), prompt_fingerprint(ASKED[:1])}) == 3
    )
