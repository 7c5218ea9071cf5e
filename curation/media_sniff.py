"""Which container a file is, from its first bytes, before any demuxer sees it.

A demuxer that may choose for itself follows playlists: a text file named `.mp4` that holds an HLS
or ffconcat list made libavformat open another file and return that film's pictures. So a file gets
exactly one demuxer, chosen here by magic bytes from an allow-list that holds no playlist, and is
handed on as an open descriptor: its name never reaches a demuxer.
"""

import os
import stat
from dataclasses import dataclass

from curation.records import Reason, RejectedError

HEAD_BYTES = 4096
MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
TS_PACKET, M2TS_PACKET = 188, 192


@dataclass(frozen=True)
class Source:
    """An open file of a known container. `key` changes when the file does."""

    descriptor: int
    container: str
    bytes: int
    key: str


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a regular file and name its container; the caller closes the descriptor.

    Raises RejectedError: unreadable, empty, format_not_allowed.
    """
    try:
        # Without O_NONBLOCK a fifo would block here until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise RejectedError(
            Reason.UNREADABLE, getattr(error, "strerror", None) or str(error)
        ) from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise RejectedError(Reason.UNREADABLE, f"not a file but {_kind(facts.st_mode)}")
        if facts.st_size == 0:
            raise RejectedError(Reason.EMPTY, "0 bytes")
        container = sniff(os.pread(descriptor, HEAD_BYTES, 0))
        key = f"{facts.st_dev}-{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}"
    except OSError as error:
        os.close(descriptor)
        raise RejectedError(Reason.UNREADABLE, error.strerror or str(error)) from None
    except RejectedError:
        os.close(descriptor)
        raise
    return Source(descriptor, container, facts.st_size, key)


def sniff(head: bytes) -> str:
    """The demuxer for a file that starts with `head`. Raises RejectedError(format_not_allowed)."""
    for container, matches in _RULES:
        if matches(head):
            return container
    raise RejectedError(Reason.FORMAT_NOT_ALLOWED, f"starts with {head[:12].hex(' ')}")


def _is_mov(head: bytes) -> bool:
    # The first byte is the top of a box size and 0 in every real file. It also ends the string
    # that text probes (HLS, SDP, DASH) would search.
    return len(head) >= 8 and head[0] == 0 and head[4:8] in MOV_BOXES


def _is_matroska(head: bytes) -> bool:
    # The document type stands in the EBML header; with it libavformat's own probe is certain.
    return head[:4] == b"\x1a\x45\xdf\xa3" and any(t in head[4:80] for t in (b"matroska", b"webm"))


def _is_ts(head: bytes) -> bool:
    starts = ((0, TS_PACKET), (4, M2TS_PACKET))
    return any(
        len(head) > first + 3 * step and all(head[first + k * step] == 0x47 for k in range(4))
        for first, step in starts
    )


def _is_mp3(head: bytes) -> bool:
    if head[:3] == b"ID3":
        return True
    # Frame sync, a layer (not 0), a bit rate (not free, not 15) and a sample rate (not 3).
    return (
        len(head) >= 4
        and head[0] == 0xFF
        and head[1] & 0xE0 == 0xE0
        and head[1] & 0x06 == 0x02
        and head[2] >> 4 not in (0, 15)
        and head[2] & 0x0C != 0x0C
    )


_RULES = (
    ("mov", _is_mov),
    ("matroska", _is_matroska),
    ("avi", lambda head: head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"AVIX")),
    ("wav", lambda head: head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"),
    ("ogg", lambda head: head[:5] == b"OggS\0"),
    ("flac", lambda head: head[:4] == b"fLaC"),
    ("flv", lambda head: head[:4] == b"FLV\x01"),
    ("mpeg", lambda head: head[:4] == b"\0\0\x01\xba"),
    ("mpegts", _is_ts),
    ("mp3", _is_mp3),
)


def _kind(mode: int) -> str:
    names = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a fifo",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return names.get(stat.S_IFMT(mode), "something else")
