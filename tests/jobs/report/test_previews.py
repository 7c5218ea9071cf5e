"""Small copies of clips: made once, found again, gone when they are not wanted."""

import shutil

import numpy as np
import pytest

from curation.files import hash_stream
from curation.media import Limits
from curation.media_write import write_clip
from curation.records import Reason, RejectedError
from jobs.pictures import waveform
from jobs.report.media import LONGEST_S, RATE, sound_picture
from jobs.report.previews import Span, previews, prune
from tests.noise_films import scanned, write_noise


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.mp4"
    pixels = np.random.default_rng(0).integers(0, 255, (80, 90, 150, 3), dtype=np.uint8)
    samples = np.random.default_rng(1).normal(0, 0.1, (1, 8 * RATE)).astype(np.float32)
    write_clip(path, pixels, 10.0, samples, RATE)
    return path


def span(path, start=0.5, end=7.9, key="clip") -> Span:
    with path.open("rb") as handle:
        source = hash_stream(handle)
    stat = path.stat()
    return Span(key, source, str(path), start, end, stat.st_size, stat.st_mtime_ns)


def one(spans, folder):
    return [made for _, made in previews(spans, folder, Limits())]


def test_a_second_report_reads_what_the_first_made(tmp_path, film, monkeypatch):
    """A report that decodes everything each time, or finds something else than it made."""
    wanted = span(film)
    first = one([wanted], tmp_path / "made")[0]
    assert first.seconds == LONGEST_S < 7.4
    assert first.video[4:8] == b"ftyp"
    assert all((first.poster, first.frames, first.sound))
    film.unlink()
    monkeypatch.setattr("jobs.report.previews.make", None)
    assert one([wanted], tmp_path / "made")[0] == first


def test_what_is_not_shown_any_more_is_removed(tmp_path, film):
    """A folder that grows with every report, or keeps clips of a film that was taken down."""
    folder = tmp_path / "made"
    one([span(film, key="a"), span(film, key="b")], folder)
    prune(folder, ["a"])
    assert [path.name.split("-")[0] for path in folder.iterdir()] == ["a"]
    prune(tmp_path / "nowhere", [])


def test_a_stopped_report_leaves_no_half_preview(tmp_path, film):
    """A clip without frames that is taken for whole."""
    folder, wanted = tmp_path / "made", span(film)
    whole = one([wanted], folder)[0]
    place = next(folder.iterdir())
    (place / "clip.mp4").unlink()
    (place / "frames.jpg").write_bytes(b"")
    assert one([wanted], folder)[0] == whole


def test_another_film_under_the_same_name_is_not_shown(tmp_path, film):
    """Pictures of a film that was never scanned beside the scores of one that was."""
    wanted = span(film)
    other = np.zeros((80, 90, 150, 3), np.uint8)
    write_clip(film, other, 10.0)
    made = one([wanted], tmp_path / "made")[0]
    assert isinstance(made, RejectedError)
    assert made.reason == Reason.UNREADABLE
    assert "changed since the scan" in made.detail


def test_of_a_film_in_a_store_only_what_is_shown_is_fetched(tmp_path, store, fetched):
    """A report that copies two hours of film for six seconds, or shows others than those."""
    film = tmp_path / "noise.mp4"
    write_noise(film, {"g": "12", "bf": "2"}, "aac", 50)
    near = one([span(film, 20.0, 22.0)], tmp_path / "near")
    row = scanned(store, film)
    far = Span("clip", row["source_id"], row["path"], 20.0, 22.0, row["bytes"], row["mtime_ns"])
    fetched.clear()
    assert one([far], tmp_path / "far") == near
    assert near[0].frames
    assert near[0].sound
    assert 0 < sum(fetched) < 0.8 * row["bytes"]


def test_a_touched_film_is_still_the_same(tmp_path, film):
    """A copy of the data set whose times differ, all of it refused."""
    wanted = span(film)
    shutil.copy(film, tmp_path / "copy.mp4")
    (tmp_path / "copy.mp4").replace(film)
    assert not isinstance(one([wanted], tmp_path / "made")[0], RejectedError)


def test_refusals_are_one_a_span(tmp_path, film):
    """One bad film ending the report, or shifting all later clips by one."""
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a film")
    spans = [span(film, key="a"), span(bad, key="b"), span(film, key="c")]
    found = one(spans, tmp_path / "made")
    assert [isinstance(made, RejectedError) for made in found] == [False, True, False]


def test_sound_lies_on_the_clock_of_the_picture():
    """A click drawn at another time than it is heard, or short sound stretched over the clip."""
    samples = np.zeros(2 * RATE, np.float32)
    samples[RATE] = 1.0  # at 1 s of a clip of 4 s, whose sound ends at 2 s
    drawn = waveform(samples, 4.0, RATE)
    tall = (drawn[:, :, 0] > 100).sum(axis=0)
    assert abs(int(tall.argmax()) - drawn.shape[1] // 4) <= 1
    assert sound_picture(samples, 4.0)[:4] == b"RIFF"
