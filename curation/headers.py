"""A film's header without the film, where it lies in an object store.

An mp4 is a row of boxes. All but its media data are fetched into a local file of the film's size
that has a hole for the rest: what a header says is the same, and of two hours it is some megabytes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from curation.media_sniff import HEAD_BYTES, sniff
from curation.places import Remote, remote
from curation.records import Reason, RejectedError
from curation.scratch import scratch
from curation.sources import local_copy
from curation.stores import StorageError

MEDIA_DATA = b"mdat"
MOST_BOXES = 256  # each is a request or two: a film of many fragments is as quickly fetched
MOST_BYTES = 64 << 20
SMALL = 4 << 20  # bytes of a film that are as quickly fetched as looked through


@contextmanager
def header_copy(path: str) -> Iterator[str]:
    """A local path that is good for a probe, and for nothing else: the film itself, a copy of it,
    or of all but its media data. Raises RejectedError(unreadable).
    """
    boxes = None
    if "://" in path:
        try:
            film = remote(path)
            size = film.stat().st_size
            boxes = header_boxes(film, size)
        except (OSError, ValueError, StorageError) as error:
            raise RejectedError(Reason.UNREADABLE, str(error)) from error
    if boxes is None:
        with local_copy(path) as copy:
            yield copy
        return
    with scratch() as folder:
        local = folder / "header"
        with local.open("wb") as handle:
            for start, data in boxes:
                handle.seek(start)
                handle.write(data)
            os.truncate(handle.fileno(), size)
        yield str(local)


def header_boxes(film: Remote, size: int) -> list[tuple[int, bytes]] | None:
    """(offset, bytes) of each box of an mp4; of media data its head only.

    None where the film is small or no mp4, where its boxes do not add up, and where they are large.
    """
    if size <= SMALL:
        return None
    head = film.read_at(0, HEAD_BYTES)
    try:
        if sniff(head) != "mov":
            return None
    except RejectedError:
        return None
    found: list[tuple[int, bytes]] = []
    at = fetched = 0
    while at < size and len(found) < MOST_BOXES:
        known = head[at : at + 16]
        start = known if len(known) == 16 else film.read_at(at, min(16, size - at))
        length, kind = int.from_bytes(start[:4]), start[4:8]
        if length == 1 and len(start) == 16:
            length = int.from_bytes(start[8:])
        length = length or size - at
        fetched += 0 if kind == MEDIA_DATA else length
        if length < 8 or at + length > size or fetched > MOST_BYTES:
            return None
        found.append((at, start if kind == MEDIA_DATA else film.read_at(at, length)))
        at += length
    return found if at == size else None
