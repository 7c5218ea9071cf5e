"""Spans of a film that lies in an object store: a local file with only the bytes that hold them.

Of an mp4 the header is fetched, then what its index names for the spans, at their own offsets: such
a file has the film's size and holes elsewhere, and readers get from it what the film would give
them. Of any other film, and where this goes wrong, the whole is fetched.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from curation.headers import header_boxes
from curation.media import MediaReader, Probe
from curation.media_part import Copy, Spans
from curation.places import Facts, Remote, remote
from curation.records import Reason, RejectedError
from curation.scratch import scratch
from curation.sources import hash_source
from curation.stores import StorageError

WORTH = 0.8  # of a film's bytes: more is as quickly fetched whole, in fewer requests
FRAGMENT = b"moof"

Row = dict[str, Any]
Wanted = Callable[[Probe], Spans] | None  # None: all of the film


@contextmanager
def film_spans(reader: MediaReader, film: Row, wanted: Wanted) -> Iterator[str]:
    """A local path that is good for what `reader` reads of some spans of a scanned film."""
    with film_copy(reader, film, wanted) as copy, reader.holding(copy):
        yield copy.path


def clips_film(
    reader: MediaReader, clips: Sequence[Row], apart_s: float = 0.0
) -> AbstractContextManager[str]:
    """The same for clips of one film; each is also a scanned film's row."""
    return film_spans(reader, clips[0], lambda _: clip_spans(clips, apart_s))


@contextmanager
def film_copy(reader: MediaReader, film: Row, wanted: Wanted) -> Iterator[Copy]:
    """The spans of a film that `wanted` picks; `film` has path, source_id, bytes and mtime_ns.

    Raises RejectedError(unreadable), also where the film is not the one that was scanned: its bytes
    are hashed only where size or time differ.
    """
    path = film["path"]
    if "://" not in path:
        if film.get("bytes") is not None:
            check_scanned(path, Path(path).stat, film)
        yield Copy(path)
        return
    with scratch() as folder:
        local = folder / "film"
        try:
            there = remote(path)
            facts = there.stat()
            copy = None
            if wanted and same(facts, film):
                copy = part(reader, there, facts, local, wanted)
            if copy is None:
                there.download(local)
                check_scanned(str(local), lambda: facts, film)
                copy = Copy(str(local))
        except (OSError, ValueError, StorageError) as error:
            raise RejectedError(Reason.UNREADABLE, str(error)) from error
        yield copy


def clip_spans(clips: Sequence[Row], apart_s: float = 0.0) -> Spans:
    """The spans of a film's clips (start_s, end_s); those less than `apart_s` apart are one."""
    found: list[tuple[float, float]] = []
    for clip in sorted(clips, key=lambda clip: float(clip["start_s"])):
        if found and clip["start_s"] < found[-1][1] + apart_s:
            found[-1] = found[-1][0], max(found[-1][1], clip["end_s"])
        else:
            found.append((clip["start_s"], clip["end_s"]))
    return found


def same(facts: Facts | os.stat_result, film: Row) -> bool:
    """Whether size and time are those of the scan."""
    known = (film.get("bytes"), film.get("mtime_ns"))
    return (facts.st_size, facts.st_mtime_ns) == known and facts.st_mtime_ns > 0


def check_scanned(local: str, facts: Callable[[], Facts | os.stat_result], film: Row) -> None:
    """Raise RejectedError(unreadable) unless a file is the film that was scanned."""
    try:
        unchanged = same(facts(), film)
    except OSError as error:
        raise RejectedError(Reason.UNREADABLE, error.strerror or "") from error
    if not unchanged and hash_source(local) != film["source_id"]:
        raise RejectedError(Reason.UNREADABLE, "the film changed since the scan; scan again")


def part(
    reader: MediaReader,
    film: Remote,
    facts: Facts,
    local: Path,
    wanted: Callable[[Probe], Spans],
) -> Copy | None:
    """A copy with holes, or None where the whole film is as quickly fetched, or needed.

    Raises OSError, StorageError.
    """
    boxes = header_boxes(film, facts.st_size)
    if boxes is None or any(data[4:8] == FRAGMENT for _, data in boxes):
        return None
    header = local.with_name("header")
    write_at(header, boxes, facts.st_size)
    try:
        spans = wanted(reader.probe(header))
        ranges = reader.ranges(header, spans)
    except RejectedError:
        return None
    finally:
        header.unlink()
    if ranges is None or sum(count for _, count in ranges) > WORTH * facts.st_size:
        return None

    def check() -> None:
        if film.stat() != facts:
            raise StorageError("unreachable", f"{film} changed while it was read; run it again")

    def whole(target: Path) -> None:
        film.download(target)
        check()

    write_at(local, boxes, facts.st_size)
    write_at(local, film.parts(ranges), facts.st_size)
    check()
    return Copy(str(local), spans, whole)


def write_at(local: Path, pieces: Any, size: int) -> None:  # noqa: ANN401 - any (offset, bytes)
    """Write (offset, bytes) into a file of `size` bytes, whose rest is left as it is: a hole."""
    with local.open("r+b" if local.exists() else "wb") as handle:
        for start, data in pieces:
            handle.seek(start)
            handle.write(data)
        handle.truncate(size)
