"""Films heard, cut between words and scored, on a local Ray."""

import json
import shutil
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from curation.media import Limits
from curation.media_write import write_clip
from curation.speech.voice import package_folder
from curation.speech.words import from_json
from curation.spoken import parse_words
from jobs.config import make_recipe
from pipelines import listen
from pipelines.cuts import windows
from pipelines.ledger import Ledger
from pipelines.scan import scan
from pipelines.scan_config import ScanConfig, WindowConfig
from pipelines.speech import speech
from pipelines.speech_config import SpeechConfig, WhisperXConfig

RATE = 16_000
CONFIG = SpeechConfig(engine="embedded", workers=2)
WINDOW = WindowConfig(fps=8, min_s=1.5, max_s=2.6)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """16 s of a man who reads, its copy, a film without sound, and one that is no film."""
    folder = tmp_path_factory.mktemp("films")
    with wave.open(str(package_folder("moonshine_voice") / "assets" / "two_cities.wav")) as file:
        raw = np.frombuffer(file.readframes(33 * 48_000), "<i2").reshape(-1, file.getnchannels())
    sound = (raw.mean(axis=1) / 32768).astype(np.float32)[17 * 48_000 :]
    # The same picture all along: shots must not decide here. Grain keeps it from being black.
    frame = np.random.default_rng(0).integers(60, 200, (32, 32, 3), dtype=np.uint8)
    pixels = np.repeat(frame[None], 16 * 8, axis=0)
    write_clip(folder / "spoken.mp4", pixels, 8, sound[None], 48_000)
    shutil.copy(folder / "spoken.mp4", folder / "spoken copy.mp4")
    write_clip(folder / "mute.mp4", pixels[:24], 8)
    (folder / "text.mp4").write_text("not a film")
    return folder


@pytest.fixture(scope="module")
def heard(films, local_ray, tmp_path_factory):
    ledger = Ledger(tmp_path_factory.mktemp("speech") / "ledger")
    return ledger, speech(CONFIG, [str(films)], Limits(), ledger)


@pytest.fixture(scope="module")
def scanned(films, heard):
    ledger, _ = heard
    config = ScanConfig(sources=[str(films)], window=WINDOW, words=CONFIG.table(), shots="stride")
    scan(config, ledger)
    return ledger, config


def rows_of(ledger):
    return {Path(row["path"]).name: row for row in ledger.rows(CONFIG.table())}


def test_every_film_has_one_row(films, heard):
    """A film that vanishes, one without sound taken for a failure, or bytes heard twice."""
    ledger, tally = heard
    rows = rows_of(ledger)
    assert sorted(rows) == sorted(p.name for p in films.glob("*.mp4"))
    assert {name: (row["status"], row["reason"]) for name, row in rows.items()} == {
        "mute.mp4": ("ok", None),
        "spoken copy.mp4": ("ok", None),
        "spoken.mp4": ("skipped", "duplicate"),
        "text.mp4": ("failed", "format_not_allowed"),
    }
    assert tally.total == 4
    assert rows["mute.mp4"]["words"] == 0
    spoken = rows["spoken copy.mp4"]
    assert spoken["words"] > 30
    assert spoken["language"] == "en"
    assert 5 < spoken["voiced_s"] < 14
    transcript = from_json(spoken["transcript"])
    assert len(transcript.words) == spoken["words"]
    assert "winter of despair" in " ".join(w.text for w in transcript.words)


@pytest.mark.slow
def test_no_clip_cuts_a_word(scanned):
    """Clips that end in the middle of a word although the words are known."""
    ledger, config = scanned
    clips = {c["clip_id"]: c for c in ledger.clips(config.fingerprint()).to_pylist()}
    long = [c for c in clips.values() if c["path"].endswith("spoken copy.mp4")]
    assert len(long) >= 4
    words = from_json(rows_of(ledger)["spoken copy.mp4"]["transcript"]).words

    def cut(edge):
        return any(w.start + 1e-3 < edge < w.end - 1e-3 for w in words)

    assert not any(cut(c["start_s"]) or cut(c["end_s"]) for c in long)
    blind = [edge for s, n in windows(0.0, 16.0, WINDOW) for edge in (s, s + n / 8)]
    assert any(cut(edge) for edge in blind), "the film is no test: no blind cut meets a word"


@pytest.mark.slow
def test_clips_get_their_columns(scanned):
    """Words of another clip, on another clock, or clips without a row."""
    ledger, config = scanned
    scores = {r["clip_id"]: r for r in ledger.rows(CONFIG.tables()["speech"])}
    clips = ledger.clips(config.fingerprint()).to_pylist()
    assert sorted(scores) == sorted(c["clip_id"] for c in clips)
    said = []
    for clip in sorted(clips, key=lambda c: c["start_s"]):
        row = scores[clip["clip_id"]]
        if "mute" in clip["path"]:
            assert (row["speech_share"], row["words"]) == (0, 0)
            continue
        assert row["word_cut"] == 0
        words = parse_words(row["word_times"])
        assert len(words) == row["words"]
        assert all(0 <= w.start < w.end <= clip["end_s"] - clip["start_s"] + 1e-3 for w in words)
        said.append(row["transcript"])
    assert "spring" in " ".join(said) or "hope" in " ".join(said)


@pytest.mark.slow
def test_a_second_run_hears_nothing(films, heard, scanned, monkeypatch):
    """A rerun that listens again, or writes; a moved film that loses its words."""
    ledger, first = heard
    before = {p: p.stat().st_mtime_ns for p in ledger.folder.rglob("*.parquet")}
    monkeypatch.setattr(listen, "listen_all", lambda _, films, __: iter([]) if not films else 1 / 0)
    again = speech(CONFIG, [str(films)], Limits(), ledger)
    assert again.status == first.status
    assert again.earlier == again.total
    scan(scanned[1], ledger)
    assert before == {p: p.stat().st_mtime_ns for p in ledger.folder.rglob("*.parquet")}
    moved = films.parent / "moved" / "other name.mp4"
    moved.parent.mkdir()
    shutil.copy(films / "spoken.mp4", moved)
    speech(CONFIG, [str(moved)], Limits(), ledger)
    assert rows_of(ledger)["other name.mp4"]["words"] > 30


def test_a_scan_of_films_not_heard_is_refused(films, tmp_path, local_ray):
    """Cuts through words under a name that says they respect them."""
    config = ScanConfig(sources=[str(films)], window=WINDOW, words=CONFIG.table())
    with pytest.raises(ValueError, match="reelmill speech"):
        scan(config, Ledger(tmp_path / "ledger"))


def test_the_recipe_names_the_words_for_the_scan(tmp_path):
    """A scan that is taken for done although the words changed; a demo whose names change."""
    base = {"name": "x", "out": str(tmp_path)}
    plain = make_recipe(base, "test")
    with_words = make_recipe(base | {"speech": {"engine": "embedded"}}, "test")
    assert plain.scan.words is None
    assert plain.scan.fingerprint() == ScanConfig().fingerprint()
    assert with_words.scan.words == with_words.speech.table()
    stricter = {"engine": "embedded", "gates": {"voice": 0.5}}
    names = {
        make_recipe(base | {"speech": s}, "test").scan.fingerprint()
        for s in ({"engine": "embedded"}, {"engine": "whisperx"}, stricter, {})
    }
    assert len(names) == 4
    again = make_recipe(json.loads(with_words.model_dump_json()), "test")
    assert again == with_words


def test_where_whisperx_runs_is_no_part_of_its_words():
    """Words heard again because the environment lies elsewhere, or shared by two models."""
    here, there = (
        SpeechConfig(engine="whisperx", whisperx=WhisperXConfig(python=p, batch_size=b))
        for p, b in ((None, 8), (Path("/x/bin/python"), 2))
    )
    other = SpeechConfig(engine="whisperx", whisperx=WhisperXConfig(model="small"))
    assert here.fingerprint() == there.fingerprint() != other.fingerprint()


def test_an_engine_that_is_not_installed_names_the_cure(monkeypatch):
    """An actor that dies of an import, and Ray's page of trace about it."""
    listen.check_packages()
    monkeypatch.setattr(listen, "PACKAGES", ("json", "no_such_package"))
    with pytest.raises(ValueError, match=r"no_such_package.*make setup"):
        listen.actor_options(CONFIG)


def test_a_wrong_interpreter_is_refused_at_once(tmp_path):
    """An actor that hangs for ever because its interpreter has no Ray or no WhisperX."""
    with pytest.raises(ValueError, match="make asr"):
        listen.check_interpreter(tmp_path / "nothing")
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(ValueError, match="cannot import"):
        listen.check_interpreter(bare)
