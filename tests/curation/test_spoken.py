"""What is said in a clip: columns and words on the clip's clock."""

import pytest

from curation.speech.words import Segment, Transcript, Word
from curation.spoken import SPOKEN, clip_words, parse_words, spoken_scores

WORDS = (
    Word("Open", 10.0, 10.4, 0.8, "A"),
    Word("the", 10.4, 10.6, 0.6, "A"),
    Word("door!", 10.6, 11.2, None, "B"),
)
FILM = Transcript(
    "x",
    60.0,
    [(9.9, 11.3), (30.0, 34.0)],
    (
        Segment(9.9, 11.3, "Open the door!", WORDS, "en", 0.9),
        Segment(30.0, 34.0, None),
    ),
)


def test_words_lie_on_the_clips_clock():
    """Times of the film given to a caption of the clip, or a word in two clips."""
    left, right = clip_words(FILM, 8.0, 10.45), clip_words(FILM, 10.45, 12.0)
    assert [(w.text, w.start, w.end) for w in left] == [("Open", 2.0, 2.4)]
    assert [(w.text, w.start, w.end) for w in right] == [("the", 0.0, 0.15), ("door!", 0.15, 0.75)]


def test_columns_of_a_clip():
    """A column that is missing, or says another thing than its description."""
    scores = spoken_scores(FILM, 9.0, 13.0)
    assert set(scores) == set(SPOKEN)
    assert scores["speech_share"] == pytest.approx(0.35)
    assert scores["words"] == 3
    assert scores["words_per_second"] == pytest.approx(3 / 1.4, abs=1e-3)
    assert (scores["language"], scores["language_confidence"]) == ("en", 0.9)
    assert scores["asr_confidence"] == pytest.approx(0.7)
    assert scores["speakers"] == 2
    assert scores["transcript"] == "Open the door!"
    assert scores["word_cut"] == 0
    assert scores["hallucination"] == 0
    assert parse_words(scores["word_times"]) == clip_words(FILM, 9.0, 13.0)
    assert parse_words(None) == []


def test_what_is_not_known_is_null_and_never_a_pass():
    """Voice that nobody wrote down shown as zero words; silence shown as unknown."""
    foreign = spoken_scores(FILM, 29.0, 35.0)
    assert foreign["speech_share"] > 0.6
    for name in ("words", "words_per_second", "language", "asr_confidence", "transcript"):
        assert foreign[name] is None, name
    silent = spoken_scores(FILM, 40.0, 45.0)
    assert (silent["speech_share"], silent["words"], silent["transcript"]) == (0, 0, "")
    assert silent["word_cut"] == 0
    assert silent["speakers"] == 0


@pytest.mark.parametrize(
    ("start", "end", "cut"),
    [(9.0, 13.0, 0), (10.2, 13.0, 1), (9.0, 10.5, 1), (9.0, 10.4, 0), (29.0, 32.0, None)],
)
def test_an_edge_in_a_word_shows(start, end, cut):
    """A clip that ends in the middle of a word and says that it does not."""
    assert spoken_scores(FILM, start, end)["word_cut"] == cut


def test_flagged_words_are_kept_and_show():
    """Hallucinated words that look like any others, or that are dropped."""
    words = (Word("Thanks", 1.0, 1.5, flagged=True), Word("all", 1.5, 2.0, flagged=True))
    dreamt = Segment(1.0, 2.0, "Thanks all", words, "en", 0.5, flags=("boilerplate", "rate"))
    scores = spoken_scores(Transcript("x", 9.0, [(1.0, 2.0)], (dreamt,)), 0.0, 4.0)
    assert scores["hallucination"] == 1
    assert scores["hallucination_flags"] == "boilerplate,rate"
    assert scores["transcript"] == "Thanks all"
    assert all(w.flagged for w in parse_words(scores["word_times"]))
