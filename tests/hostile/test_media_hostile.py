"""Films that want to do harm: each ends as its typed reason, and none shows another film."""

import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from curation import media_index
from curation.media import Limits, MediaReader
from curation.media_sniff import sniff
from curation.records import Reason, RejectedError
from tests import media_zoo as zoo
from tests.hostile.folder import OK, SENTINEL, hostile_folder

pytestmark = pytest.mark.hostile
LIMITS = Limits(wall_s=30, cpu_s=15, memory_mb=1024)
MUTANTS = 300


@pytest.fixture(scope="module")
def listener():
    """A loopback port that counts who calls."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    calls, over = [], threading.Event()

    def listen():
        while not over.is_set():
            try:
                calls.append(server.accept()[1])
            except TimeoutError:
                continue

    thread = threading.Thread(target=listen)
    thread.start()
    yield server.getsockname()[1], calls
    over.set()
    thread.join()
    server.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, listener):
    folder = tmp_path_factory.mktemp("hostile") / "films"
    return folder, hostile_folder(folder, listener[0])


def outcome(reader, path):
    """What a scan would record of a film, and the pictures it would have seen."""
    pixels = None
    try:
        reader.probe(path)
        pixels = reader.frames(path, short_side=32).pixels
        reader.sound(path)
    except RejectedError as error:
        return error.reason.value, pixels
    return OK, pixels


def test_each_film_has_its_reason(hostile, listener):
    """Fails when a playlist is followed, a bomb is decoded, a name is obeyed, or damage passes."""
    folder, expected = hostile
    assert {path.name for path in folder.iterdir()} == set(expected)
    assert len(expected) >= 30
    wrong, shown = {}, []
    with MediaReader(LIMITS) as reader:
        for name, reason in expected.items():
            begin = time.monotonic()
            got, pixels = outcome(reader, folder / name)
            if got != reason:
                wrong[name] = f"{got}, not {reason}"
            if pixels is not None:
                shown.append(np.abs(pixels.astype(int) - SENTINEL).max(-1).min())
            assert time.monotonic() - begin < LIMITS.wall_s + 5
    assert wrong == {}
    assert min(shown) > 60  # the sentinel's magenta is in no picture
    assert listener[1] == []
    assert not (Path.cwd() / "canary").exists()


def test_sentinel_can_be_seen(hostile):
    """Fails when the test above could not notice a leak: the sentinel does read as magenta."""
    folder, _ = hostile
    with MediaReader(LIMITS) as reader:
        pixels = reader.frames(folder.parent / "sentinel.mp4").pixels
    assert np.abs(pixels.astype(int) - SENTINEL).max(-1).min() < 20


@pytest.mark.parametrize(
    "playlist",
    ["hls_file.mp4", "hls_relative.mkv", "ffconcat.mp4", "dash.mp4", "poly_type.mkv", "poly.avi"],
)
def test_forced_demuxer_refuses_what_sniffing_might_miss(playlist, hostile, listener):
    """Fails when the second wall is missing: even called a film, a playlist is not followed."""
    folder, _ = hostile
    descriptor = os.open(folder / playlist, os.O_RDONLY)
    try:
        for container in ("mov", "matroska", "avi", "mpegts", "mpeg", "ogg", "flv", "mp3", "wav"):
            try:
                with media_index.open_container(descriptor, container, LIMITS.model_dump()) as film:
                    pictures = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
                assert all(np.abs(p.astype(int) - SENTINEL).max(-1).min() > 60 for p in pictures)
            except (RejectedError, ValueError, IndexError, OSError):
                continue
    finally:
        os.close(descriptor)
    assert listener[1] == []


def test_no_playlist_passes_for_a_film_of_decord():
    """Fails when bytes that decord would probe as a playlist are sniffed as mov or matroska.

    decord chooses its own demuxer. Its text probes read up to the first zero byte, and its mov and
    matroska probes are certain when these sniffs are.
    """
    generator = np.random.default_rng(5)
    texts = [
        b"#EXTM3U\n",
        b"ffconcat version 1.0\n",
        b"v=0\nc=IN IP4 1.2.3.4\n",
        b"<MPD ",
        b"rtsptext",
    ]
    magic = [b"ftyp", b"moov", b"matroska", b"webm", b"\x1a\x45\xdf\xa3"]
    for _ in range(2_000):
        parts = [
            texts[generator.integers(5)],
            magic[generator.integers(5)],
            magic[generator.integers(5)],
        ]
        try:
            container = sniff(b"".join(parts) + generator.bytes(40))
        except RejectedError:
            continue
        assert container not in ("mov", "matroska")


def test_mutants(tmp_path):
    """Fails when damage kills or hangs the reader, or ends as anything but a result or a reason."""
    seeds = [
        zoo.Spec("a.mp4", sound="aac", options=zoo.B_FRAMES),
        zoo.Spec("b.mkv", sound="flac", options=zoo.B_FRAMES),
        zoo.Spec("c.webm", "libvpx-vp9", options={"cpu-used": "8"}, sound="libopus"),
        zoo.Spec("d.avi", "mpeg4", sound="pcm_s16le"),
        zoo.Spec("e.ts", sound="aac", options=zoo.B_FRAMES),
    ]
    generator = np.random.default_rng(11)
    films = [zoo.make(spec, tmp_path).read_bytes() for spec in seeds]
    ends: dict[str, int] = {}
    path = tmp_path / "mutant"
    with MediaReader(LIMITS.model_copy(update={"wall_s": 10})) as reader:
        for number in range(MUTANTS):
            path.unlink(missing_ok=True)
            path.write_bytes(mutant(films[number % len(films)], generator))
            begin = time.monotonic()
            end, pixels = outcome(reader, path)
            assert time.monotonic() - begin < 35
            assert end == OK or Reason(end) in Reason
            if end == OK:
                assert pixels is not None
            ends[end] = ends.get(end, 0) + 1
        good = zoo.make(seeds[0], tmp_path)
        assert [zoo.read_number(p) for p in reader.frames(good).pixels] == list(range(60))
    print(ends)
    assert ends.get("internal", 0) == 0
    assert ends.get("corrupt", 0) > MUTANTS / 3  # damage is noticed


def mutant(film, generator):
    data = bytearray(film)
    kind = generator.integers(3)
    if kind == 0:
        for at in generator.integers(0, len(data), generator.integers(1, 40)):
            data[at] ^= 1 << generator.integers(8)
    elif kind == 1:
        del data[generator.integers(1, len(data)) :]
    else:
        at, size = generator.integers(0, len(data)), generator.integers(1, 400)
        data[at : at + size] = bytes(len(data[at : at + size]))
    return bytes(data)
