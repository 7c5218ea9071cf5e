"""Words from sound: voice, alignment, what is refused, and the small engine on real speech."""

import wave
from pathlib import Path

import numpy as np
import pytest

from curation.media import MediaReader
from curation.media_write import write_clip
from curation.speech.align import Aligner, written_words
from curation.speech.embedded import Embedded
from curation.speech.film import hear_film
from curation.speech.gates import GateConfig, compression_ratio, gates, repeated_share
from curation.speech.spelling import spelled
from curation.speech.voice import LONGEST_S, Voice, package_folder, pieces, voiced_spans
from curation.speech.whisperx import as_segment
from curation.speech.words import RATE, Segment, Transcript, Word, from_json, protected, to_json

HOPE = (17.0, 21.0)  # "It was the spring of hope, it was the winter of despair," of two_cities.wav
SAID = ["it", "was", "the", "spring", "of", "hope", "it", "was", "the", "winter", "of", "despair"]


@pytest.fixture(scope="session")
def cities():
    """Dickens, read aloud: mono 16 kHz [N] of the recording in moonshine's package."""
    path = package_folder("moonshine_voice") / "assets" / "two_cities.wav"
    with wave.open(str(path)) as file:
        assert (file.getsampwidth(), file.getframerate()) == (2, 48_000)
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        mono = raw.reshape(-1, file.getnchannels()).mean(axis=1) / 32768
    smooth = np.convolve(mono, np.hanning(9) / np.hanning(9).sum(), "same")
    return smooth[::3].astype(np.float32)


@pytest.fixture(scope="session")
def hope(cities):
    return cities[int(HOPE[0] * RATE) : int(HOPE[1] * RATE)]


@pytest.fixture(scope="session")
def engine():
    return Embedded()


def test_voice_is_found_where_it_is(hope):
    """Silence or noise taken for speech, or speech that is missed; blocks that leave a seam."""
    quiet = np.random.default_rng(0).normal(0, 0.01, 2 * RATE).astype(np.float32)
    sound = np.concatenate([quiet, hope, quiet])
    voice = Voice()
    whole = voice.probabilities([sound])
    parts = voice.probabilities(np.array_split(sound, 7))
    np.testing.assert_allclose(whole, parts, atol=1e-5)
    spans = voiced_spans(whole, len(sound) / RATE)
    assert spans
    assert spans[0][0] == pytest.approx(2.5, abs=0.15)
    assert spans[-1][1] == pytest.approx(2 + 3.6, abs=0.15)
    assert sum(b - a for a, b in spans) > 2.5


def test_long_voice_is_split_where_it_is_weakest():
    """An hour without a pause given to a recogniser that takes 30 s."""
    sure = np.ones(3000, np.float32)
    sure[500:503] = 0.6
    spans = voiced_spans(sure, 96.0)
    assert all(b - a <= LONGEST_S + 0.1 for a, b in spans)
    assert spans[0][1] == pytest.approx(501 * 0.032, abs=0.07)
    assert sum(b - a for a, b in spans) == pytest.approx(96.0, abs=0.1)
    assert pieces([(0, 1), (1.2, 2), (4, 5)], 0.6, 20) == [(0, 2), (4, 5)]
    assert pieces([(0, 15), (15.1, 30)], 0.6, 20) == [(0, 15), (15.1, 30)]


def test_speech_becomes_words_in_their_places(hope, engine):
    """Text without times, times out of order, or another text."""
    (segment,) = engine.hear(hope, [(0.5, 3.6)])
    heard = [w.text.lower().strip(".,") for w in segment.words]
    assert sum(a != b for a, b in zip(heard, SAID, strict=True)) <= 2
    assert segment.language == "en"
    assert segment.confidence > 0.8
    edges = [t for w in segment.words for t in (w.start, w.end)]
    assert edges == sorted(edges)
    assert 0.4 < edges[0] < 0.7
    assert 3.2 < edges[-1] < 3.8
    pause = segment.words[6].start - segment.words[5].end
    assert pause > 0.1, "the reader breathes after `hope`"
    assert all(w.score > 0.3 for w in segment.words if w.score is not None)


def test_what_is_not_english_has_no_text(hope, engine):
    """English nonsense written over another language: played backwards it is nobody's words."""
    backwards = np.ascontiguousarray(hope[::-1])
    (segment,) = engine.hear(backwards, [(0.5, 3.6)])
    assert segment.text is None
    assert segment.language is None
    assert not segment.words


def test_alignment_refuses_another_text_and_forgets_nothing(hope):
    """A text that was not said given times, or a result that depends on what was aligned before."""
    aligner = Aligner()
    first = aligner.align(hope, " ".join(SAID))
    wrong = aligner.align(hope, "hello my name is Peter and I sell seventeen purple bicycles")
    scores = [t.score for t in first]
    assert wrong is None or np.mean([t.score or 0 for t in wrong]) < 0.5 * np.mean(scores)
    assert aligner.align(hope, " ".join(SAID)) == first


def test_words_that_no_dictionary_holds_get_a_place_and_no_score(hope):
    """A name or a number that ends the alignment of its whole sentence."""
    text = "It was the spryng of hope — it was the winter of despair"
    times = Aligner().align(hope, text)
    assert len(times) == len(written_words(text)) == 12
    assert times[3].score is None
    assert times[3].start == pytest.approx(1.15, abs=0.25)
    assert times[4].score is not None
    assert spelled("Zorblax") == "Z AO R B L AE K S"
    assert spelled("42") == "F AO R T UW"
    assert spelled("日本") == ""


@pytest.mark.parametrize(
    ("text", "seconds", "voiced", "flag"),
    [
        ("Thanks for watching!", 2.0, True, "boilerplate"),
        ("Subtitles by the Amara.org community", 2.0, True, "boilerplate"),
        ("Untertitel im Auftrag des ZDF", 2.0, True, "boilerplate"),
        ("the end of the world " * 12, 30.0, True, "repeats"),
        ("la la la la la la la la la la la la la la la la", 8.0, True, "repeats"),
        ("abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc", 5.0, True, "compression"),
        ("this is far too many words to have been said in half a second", 0.5, True, "rate"),
        ("and then he went home", 2.0, False, "no_speech"),
    ],
)
def test_hallucinations_are_flagged(text, seconds, voiced, flag):
    """Loops, credits of subtitles, and words over silence taken for dialogue."""
    spans = [(0.0, seconds)] if voiced else []
    assert flag in gates(Segment(0.0, seconds, text), spans, GateConfig())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("It was the best of times, it was the worst of times.", 4.0),
        ("Thank you.", 0.6),
        ("No, no, no, no!", 1.2),
        ("I want to thank you for watching over my daughter all these years.", 4.0),
        ("Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.", 8.0),
    ],
)
def test_people_are_not_flagged(text, seconds):
    """Gates that throw out what people really say."""
    assert gates(Segment(0.0, seconds, text), [(0.0, seconds)], GateConfig()) == ()


def test_measures_of_repetition():
    """A repeat counted in a text without one, or not at all."""
    assert repeated_share(["a", "b", "c", "a", "b", "c", "a", "b", "c"]) == pytest.approx(6 / 9)
    assert repeated_share(["one", "two", "three", "four", "five"]) == 0
    assert compression_ratio("short") == 1


def test_a_film_is_heard_on_its_own_clock(cities, engine, tmp_path):
    """Words that lie elsewhere than in the film, by a piece's start or a codec's delay."""
    lead = 3.0
    sound = np.concatenate([np.zeros(int(lead * RATE), np.float32), cities[17 * RATE : 29 * RATE]])
    pictures = np.zeros((int(len(sound) / RATE * 8), 32, 32, 3), np.uint8)
    write_clip(tmp_path / "film.mp4", pictures, 8, sound[None], RATE)
    write_clip(tmp_path / "mute.mp4", pictures[:16], 8)
    voice = Voice()
    with MediaReader() as reader:
        heard = hear_film(reader, str(tmp_path / "film.mp4"), voice, engine, GateConfig())
        mute = hear_film(reader, str(tmp_path / "mute.mp4"), voice, engine, GateConfig())
    assert len(heard.segments) > 1
    assert heard.language()[0] == "en"
    assert heard.words[0].start == pytest.approx(lead + 0.55, abs=0.12)
    (direct,) = engine.hear(cities[17 * RATE : 21 * RATE], [(0.5, 3.6)])
    ends = [(w.end, d.end + lead) for w, d in zip(heard.words, direct.words, strict=False)]
    assert np.abs(np.subtract(*np.transpose(ends))).max() < 0.1
    assert from_json(to_json(heard)) == heard
    assert mute == Transcript("embedded", 2.0)


def test_protected_spans_leave_flagged_words_out():
    """A hallucinated word that no cut may touch, or voice without words that is forgotten."""
    said = Segment(0.0, 1.0, "yes", (Word("yes", 0.2, 0.8),))
    dreamt = Segment(5.0, 6.0, "thanks", (Word("thanks", 5.0, 6.0, flagged=True),), flags=("rate",))
    heard = Transcript("x", 9.0, [(0.1, 0.9), (5.1, 5.9), (7.0, 8.0)], (said, dreamt))
    assert protected(heard) == {"words": [[200, 800]], "voice": [[5100, 5900], [7000, 8000]]}


def test_whisperx_words_without_times_share_the_gap():
    """A number that WhisperX gives no time to, lost or laid over its neighbours."""
    raw = {
        "start": 1.0,
        "end": 9.0,
        "text": " in 1984 we left",
        "words": [
            {"word": "in", "start": 1.0, "end": 1.4, "score": 0.9},
            {"word": "1984"},
            {"word": "we", "start": 2.4, "end": 2.6, "score": float("nan")},
            {"word": "left"},
        ],
    }
    segment = as_segment(raw, "en", 0.7, 4.0)
    assert segment.end == 4.0
    assert [(w.text, w.start, w.end, w.score) for w in segment.words] == [
        ("in", 1.0, 1.4, 0.9),
        ("1984", 1.4, 2.4, None),
        ("we", 2.4, 2.6, None),
        ("left", 2.6, 4.0, None),
    ]


def test_a_missing_package_names_the_cure():
    """A bare ModuleNotFoundError from the middle of an actor."""
    with pytest.raises(ModuleNotFoundError, match="make setup"):
        package_folder("no_such_package")
    assert isinstance(package_folder("silero_vad"), Path)
