"""A file gets the demuxer that its first bytes name, or none."""

import os

import pytest

from curation.media_sniff import open_source, sniff
from curation.records import Reason, RejectedError
from tests import media_zoo as zoo


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("ntsc.mp4", "mov"),
        ("late.mkv", "matroska"),
        ("vp8.webm", "matroska"),
        ("film.avi", "avi"),
        ("film.ts", "mpegts"),
        ("film.mpg", "mpeg"),
        ("film.flv", "flv"),
        ("sound.wav", "wav"),
        ("sound.flac", "flac"),
        ("sound.mp3", "mp3"),
        ("sound.ogg", "ogg"),
        ("sound.m4a", "mov"),
        ("pcm24.mov", "mov"),
    ],
)
def test_every_allowed_container_is_known(name, container, tmp_path):
    """Fails when a rule is too narrow for what common writers make; the name must not matter."""
    spec = next(s for s in zoo.PICTURES + zoo.SOUNDS if s.name == name)
    path = zoo.make(spec, tmp_path).rename(tmp_path / "film.txt")
    source = open_source(path)
    os.close(source.descriptor)
    assert (source.container, source.bytes) == (container, path.stat().st_size)


@pytest.mark.parametrize(
    "head",
    [
        b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n",
        b"#EXTftyp\n#EXTM3U\n",
        b"ffconcat version 1.0\nfile x.mp4\n",
        b"<?xml version='1.0'?><MPD>",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
        b"\x1a\x45\xdf\xa3#EXTM3U\n",
        b"RIFF\0\0\0\0CDXA",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"GIF89a",
        b"PK\x03\x04",
        b"\x7fELF",
        b"\xff\xfb",
        b"G" + b"\0" * 400,
        b"\0" * 400,
        b"\0\0",
    ],
)
def test_playlists_and_other_things_are_refused(head):
    """Fails when something reaches a demuxer that would open another file, or guess."""
    with pytest.raises(RejectedError) as refused:
        sniff(head)
    assert refused.value.reason == Reason.FORMAT_NOT_ALLOWED


def test_nothing_blocks_or_leaks(tmp_path):
    """Fails when a fifo stops the scan, or a refused file keeps its descriptor open."""
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    reasons = {
        "fifo.mp4": Reason.UNREADABLE,
        ".": Reason.UNREADABLE,
        "none.mp4": Reason.UNREADABLE,
        "nul\0.mp4": Reason.UNREADABLE,
        "empty.mp4": Reason.EMPTY,
        "text.mp4": Reason.FORMAT_NOT_ALLOWED,
    }
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, not paths
    for name, reason in reasons.items():
        with pytest.raises(RejectedError) as refused:
            open_source(tmp_path / name)
        assert refused.value.reason == reason
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - the same
