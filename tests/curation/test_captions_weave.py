"""A model's description and a transcript become one, with a source a field."""

import json

from curation.captions.description import Description
from curation.captions.weave import weave
from tests.curation.test_captions_description import FULL

TOLD = Description(**FULL)
SAID = "is anyone there hello"


def test_words_are_the_transcripts_and_manner_the_models():
    """A model's paraphrase in quotation marks."""
    found, sources = weave(TOLD, {"transcript": SAID}, "server:m")
    assert [s.model_dump() for s in found.speech] == [
        {"speaker": "the old man", "delivery": "whispering", "words": SAID}
    ]
    assert (sources["speech"], sources["speech.delivery"]) == ("asr", "server:m")
    assert sources["scene"] == "server:m"
    assert "singing" not in sources


def test_nobody_heard_means_nobody_spoke():
    """Speech that a model sees in moving lips."""
    found, sources = weave(TOLD, {"transcript": ""}, "m")
    assert (found.speech, sources["speech"]) == ([], "asr")


def test_speech_without_a_transcript_is_marked():
    """A model's hearing that passes for a measured transcript."""
    found, sources = weave(TOLD, {"transcript": None}, "m")
    assert (found.speech, sources["speech"]) == (TOLD.speech, "m (unverified)")


def test_turns_become_lines():
    """Two people's words in one mouth."""
    words = [["Is", 0, 1, 1, "A", False], ["anyone", 1, 2, 1, "A", False],
             ["Me.", 2, 3, 1, "B", False]]  # fmt: skip
    clip = {"transcript": "Is anyone Me.", "word_times": json.dumps(words)}
    found, _ = weave(TOLD, clip, "m")
    assert [(s.words, s.delivery) for s in found.speech] == [
        ("Is anyone", "whispering"),
        ("Me.", ""),
    ]
    for odd in ("{", "[1]", '[["x"]]', "null", json.dumps(words[:1])):
        found, _ = weave(TOLD, clip | {"word_times": odd}, "m")
        assert [s.words for s in found.speech] == ["Is anyone Me."]


def test_text_that_was_read_is_quoted_once():
    """OCR noise between lines, or a line a frame."""
    found, sources = weave(TOLD, {"text": "EXIT | EXIT |  | www.example.com"}, "m")
    assert found.on_screen_text == ["EXIT", "(address)"]
    assert sources["on_screen_text"] == "ocr"
    assert weave(TOLD, {"text": None}, "m")[0].on_screen_text == ["BARN 7"]
