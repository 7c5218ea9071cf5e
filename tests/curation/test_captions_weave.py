"""A model's description and a transcript become one, with a source a field."""

import json

import pytest

from curation.captions.description import Description, render
from curation.captions.request import evidence
from curation.captions.weave import told_by_evidence, weave
from curation.captions.words import MEASURED, from_evidence
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


FLAGGED = {
    "transcript": "Hello there. Thanks for watching!",
    "hallucination": 0.6,
    "word_times": json.dumps(
        [["Hello", 0, 1, 1, None, False], ["there.", 1, 2, 1, None, False]]
        + [[word, 5, 6, None, None, True] for word in ("Thanks", "for", "watching!")]
    ),
}


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        (FLAGGED, "Hello there."),
        # All words flagged, or no telling which: nothing is known of what is spoken.
        (FLAGGED | {"word_times": json.dumps(json.loads(FLAGGED["word_times"])[2:])}, None),
        (FLAGGED | {"word_times": None}, None),
        (FLAGGED | {"word_times": "[["}, None),
        (FLAGGED | {"hallucination": 0.0}, FLAGGED["transcript"]),
        (FLAGGED | {"hallucination": None}, FLAGGED["transcript"]),
    ],
)
def test_words_that_a_gate_flagged_are_no_speech(clip, said):
    """Subtitle credits that a recogniser wrote over music, trained on as dialogue."""
    assert evidence(clip).get("transcript") == said
    plain, plain_sources = told_by_evidence(clip)
    found, sources = weave(TOLD, clip, "m")
    if said is None:
        assert "dialogue></dialogue" in plain.structured
        assert "speech" not in plain_sources
        assert (found.speech, sources["speech"]) == (TOLD.speech, "m (unverified)")
    else:
        assert f'<dialogue>A voice says: "{said}"' in plain.structured
        assert [line.words for line in found.speech] == [said]
    if said != clip["transcript"]:
        for text in (*vars(plain).values(), *vars(render(found, "llm")).values()):
            assert "watching" not in text


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


def test_evidence_quotes_what_was_said_and_read():
    """A transcript that is measured and never reaches a caption."""
    clip = {"has_sound": 1, "transcript": SAID, "text": "EXIT", "sound_class": "music"}
    found, sources = told_by_evidence(clip)
    assert f'<dialogue>A voice says: "{SAID}".</dialogue>' in found.structured
    assert 'On-screen text reads "EXIT".' in found.long
    assert "<bgm>Steady sound</bgm>" in found.structured
    assert sources == {
        "text": "evidence",
        "sound": "evidence",
        "on_screen_text": "ocr",
        "speech": "asr",
    }
    plain, _ = told_by_evidence({"has_sound": 1, "transcript": None, "text": ""})
    assert plain == from_evidence({"has_sound": 1})


def test_evidence_reads_only_the_scores_that_it_names():
    """A score that the pass does not load, so that captions are made without it."""
    asked = set()

    class Spy(dict):
        def get(self, key, default=None):
            asked.add(key)
            return super().get(key, default)

    from_evidence(Spy(has_sound=1))
    assert asked - {"sound_class"} == set(MEASURED)
