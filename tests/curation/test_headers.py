"""Headers of films in an object store, fetched without the films."""

import shutil

import av
import numpy as np
import pytest

from curation import headers
from curation.headers import header_copy
from curation.media import MediaReader
from curation.media_write import write_clip
from curation.places import place
from curation.records import RejectedError


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Its boxes in front, behind, in fragments, and a film that is no mp4."""
    folder = tmp_path_factory.mktemp("films")
    front = folder / "front.mp4"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 64, 3), dtype=np.uint8)
    write_clip(front, pixels, 24, np.zeros((1, 32_000), np.float32), 16_000)
    copied(front, folder / "behind.mp4")
    copied(front, folder / "parts.mp4", movflags="frag_keyframe+empty_moov")
    copied(front, folder / "other.mkv")
    return folder


def copied(film, target, **options):
    """The same streams in another container."""
    with av.open(str(film)) as source, av.open(str(target), "w", options=options) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)


@pytest.fixture
def fetched(fetched, monkeypatch):
    """The same, of films that are not too small to be looked through."""
    monkeypatch.setattr(headers, "SMALL", 0)
    return fetched


@pytest.mark.parametrize("name", ["front.mp4", "behind.mp4", "parts.mp4", "other.mkv"])
def test_a_header_says_what_the_film_says(name, films, store, fetched):
    """A plan over films in a store that fetches them all, or reads other lengths than a scan."""
    far = place(store.uri("films/headers")) / name
    far.upload(films / name)
    with MediaReader() as reader, header_copy(str(far)) as copy:
        found = reader.probe(copy)
        assert found == reader.probe(films / name)
    size = (films / name).stat().st_size
    assert (sum(fetched) < 0.2 * size) == name.endswith(".mp4")


def test_a_film_cut_short_is_fetched_and_refused(films, store, fetched, tmp_path):
    """A hole in a file that hides that its end is missing."""
    short = tmp_path / "short.mp4"
    shutil.copy(films / "behind.mp4", short)
    with short.open("r+b") as handle:
        handle.truncate(short.stat().st_size // 2)
    far = place(store.uri("films/headers/short.mp4"))
    far.upload(short)
    with MediaReader() as reader, header_copy(str(far)) as copy, pytest.raises(RejectedError):
        reader.probe(copy)


def test_what_is_not_there_is_unreadable(store):
    """An error that no row has a reason for."""
    with (
        pytest.raises(RejectedError, match="unreadable"),
        header_copy(store.uri("films/headers/none")),
    ):
        pass
