"""Spans of films in an object store: what the films give, of some of their bytes."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from curation import stores
from curation.film_spans import clip_spans, film_copy, film_spans
from curation.media import MediaReader
from curation.places import place
from curation.records import RejectedError
from tests.noise_films import RATE, SECONDS, scanned, write_noise

OPEN = "open-gop=1:keyint=12:min-keyint=1:scenecut=0:b-adapt=0"
X265 = "log-level=none:qp=2:keyint=12:min-keyint=1:scenecut=0:b-adapt=0:bframes=3:open-gop="
KINDS = {
    "closed.mp4": ("libx264", {"g": "12", "bf": "2"}, "aac"),
    "open.mov": ("libx264", {"bf": "3", "x264-params": OPEN}, "pcm_s16le"),
    "closed_hevc.mp4": ("libx265", {"x265-params": f"{X265}0"}, "aac"),
    "open_hevc.mp4": ("libx265", {"x265-params": f"{X265}1"}, "libopus"),
    "closed_av1.mp4": ("libsvtav1", {"g": "12"}, "libopus"),
    # All but the first of its keyframes are none in the index: spans begin at the beginning.
    "open_av1.mp4": ("libsvtav1", {"svtav1-params": "keyint=12:irefresh-type=1"}, "alac"),
}
ONE_KEY = "open_av1.mp4"


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Noise: some 20 MB, so that the beginning, which is always fetched, is not most of it."""
    folder = tmp_path_factory.mktemp("films")
    for name, (coder, options, codec) in KINDS.items():
        if coder in av.codecs_available:
            write_noise(folder / name, options, codec, coder=coder)
    return folder


@pytest.fixture(scope="module")
def readers():
    """Of films in the store, and of films here."""
    with MediaReader() as far, MediaReader() as near:
        yield far, near


def read(reader, path, start, end):
    """All kinds of reading, as lists of numbers."""
    reader.probe(path)
    frames = reader.frames(path, short_side=36, start=start, end=end)
    yield reader.probe(path)
    yield frames.times.tolist()
    yield frames.pixels.tobytes()
    yield reader.frames(path, times=frames.times[-1:]).pixels.tobytes()
    yield reader.keyframes(path, frames.times[-1:])
    for rate in (RATE, 16_000):
        yield reader.sound(path, rate, start, end).samples.tobytes()


@pytest.mark.parametrize("name", KINDS)
def test_a_span_is_what_the_film_shows_and_says(name, films, store, readers, fetched):
    """Another picture or sample beside a hole, at any cut, or most of a film for a second of it."""
    if not (films / name).exists():
        pytest.skip(f"PyAV has no {KINDS[name][0]} here")
    far, near = readers
    film = scanned(store, films / name)
    begins = np.random.default_rng(1).uniform(1, SECONDS - 3, 3)
    cuts = [0.0, *begins, SECONDS - 2.5] if name != ONE_KEY else [0.0, *(begins / 2)]
    for begin in cuts:
        span = float(begin), None if begin > SECONDS - 3 else float(begin + 2)
        fetched.clear()
        with film_copy(far, film, lambda _, span=span: [span]) as copy, far.holding(copy):
            assert list(read(far, copy.path, *span)) == list(read(near, films / name, *span))
            assert not copy.whole
            assert os.stat(copy.path).st_blocks * 512 < 0.8 * film["bytes"]  # noqa: PTH116
        assert sum(fetched) < 0.8 * film["bytes"]
        assert len(fetched) < 14


def test_what_goes_beyond_a_span_comes_from_the_whole_film(films, store, readers):
    """Zeros taken for silence, or a film refused for a hole that we left."""
    far, near = readers
    film = scanned(store, films / "closed.mp4")
    with film_copy(far, film, lambda _: [(20.0, 22.0)]) as copy, far.holding(copy):
        heard = far.sound(copy.path, 16_000, 12.0, 14.0).samples
        assert copy.whole
    near.close()
    assert np.array_equal(heard, near.sound(films / "closed.mp4", 16_000, 12.0, 14.0).samples)


def test_a_hole_that_a_decoder_meets_refuses_no_film(films, store, readers, monkeypatch):
    """A row that says `corrupt` of a film whose margins were too narrow."""
    far, near = readers
    film = scanned(store, films / "closed.mp4")
    ranges = MediaReader.ranges
    monkeypatch.setattr(MediaReader, "ranges", lambda *given: ranges(*given)[:1])
    with film_spans(far, film, lambda _: [(20.0, 22.0)]) as path:
        shown = far.frames(path, short_side=36, start=20.0, end=22.0).pixels
    assert np.array_equal(
        shown, near.frames(films / "closed.mp4", short_side=36, start=20.0, end=22.0).pixels
    )


def test_a_store_that_errs_gives_the_same_bytes(films, store, proxy, readers, fetched, monkeypatch):
    """A range that is lost or doubled where a connection was cut; an outage that is `corrupt`."""
    monkeypatch.setattr(stores, "FIRST_WAIT_S", 0.01)
    far, _ = readers
    wanted = [(20.0, 22.0)]
    with film_copy(far, scanned(store, films / "open.mov"), lambda _: wanted) as copy:
        calm = Path(copy.path).read_bytes()
    film = scanned(store, films / "open.mov", proxy.port)
    proxy.err(lambda method, path, number: {3: "503", 6: "cut", 9: "drop", 13: "cut"}.get(number))
    with film_copy(far, film, lambda _: wanted) as copy:
        assert Path(copy.path).read_bytes() == calm
        assert not copy.whole
    assert len(proxy.met) == 4
    monkeypatch.setattr(stores, "TRIES", 2)
    proxy.err(lambda method, path, number: "503" if method == "GET" else None)
    with pytest.raises(RejectedError, match="unreadable"), film_copy(far, film, lambda _: wanted):
        pass


def test_another_film_under_the_name_is_refused(films, store, readers):
    """Clips of a film that was replaced after it was scanned."""
    far, _ = readers
    film = scanned(store, films / "open.mov")
    place(film["path"]).upload(films / "closed.mp4")
    with (
        pytest.raises(RejectedError, match="changed since the scan"),
        film_spans(far, film, lambda _: [(20.0, 22.0)]),
    ):
        pass


def test_clips_near_each_other_are_one_span():
    """Sound of neighbours, which is read at once, fetched with a hole between them."""
    clips = [{"start_s": s, "end_s": s + 2.0} for s in (30.0, 0.0, 5.0)]
    assert clip_spans(clips) == [(0.0, 2.0), (5.0, 7.0), (30.0, 32.0)]
    assert clip_spans(clips, 10.0) == [(0.0, 7.0), (30.0, 32.0)]
