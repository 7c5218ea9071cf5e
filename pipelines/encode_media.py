"""Pictures and sound of clips, read ahead by decoders of their own while the networks encode."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from curation.media import Limits, MediaReader
from curation.records import Reason, RejectedError
from curation.rendition import picture, sound
from curation.sources import hash_source, local_copy
from model.geometry import Geometry
from pipelines.ledger import Row

Shapes = dict[str, Geometry]  # of each rendition of a clip; sound belongs to the first
T = TypeVar("T")


@dataclass(frozen=True)
class Media:
    """What a clip shows, uint8 [F,H,W,3] by rendition, and what is heard, float32 [sounds,S]."""

    pictures: dict[str, NDArray[np.uint8]]
    sound: NDArray[np.float32] | None


@dataclass
class Film:
    """A film in hand: who uses it now, and where it lies."""

    users: int = 0
    where: str = ""
    lock: Lock = field(default_factory=Lock)
    copy: ExitStack = field(default_factory=ExitStack)


class Films:
    """Local paths of films; what lies elsewhere is copied once for all readers, and kept until
    nobody uses it and another film is wanted.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._films: dict[str, Film] = {}

    @contextmanager
    def local(self, row: Row) -> Iterator[str]:
        """The clip's film as a local path. Raises RejectedError if it is not the one scanned."""
        with self._lock:
            film = self._films.setdefault(row["path"], Film())
            film.users += 1
            idle = [path for path, other in self._films.items() if not other.users]
            for path in idle:
                self._films.pop(path).copy.close()
        try:
            with film.lock:
                if not film.where:
                    where = film.copy.enter_context(local_copy(row["path"]))
                    check_scanned(where, row)
                    film.where = where
            yield film.where
        finally:
            with self._lock:
                film.users -= 1

    def close(self) -> None:
        """Remove all copies."""
        for film in self._films.values():
            film.copy.close()
        self._films.clear()


def check_scanned(local: str, row: Row) -> None:
    """Raise RejectedError unless a film is the one that was scanned.

    Bytes are hashed only where size or time differ from the scan's.
    """
    try:
        stat = Path(local).stat()
    except OSError as error:
        raise RejectedError(Reason.UNREADABLE, error.strerror or "") from error
    same = (stat.st_size, stat.st_mtime_ns) == (row["bytes"], row["mtime_ns"])
    if not same and hash_source(local) != row["source_id"]:
        raise RejectedError(Reason.UNREADABLE, "the film changed since the scan; scan again")


class ClipReader:
    """Reads clips with a guarded decoder; `sounds` is how many channels the sound has."""

    def __init__(self, films: Films, limits: Limits | None, sounds: int) -> None:
        self._films, self._sounds = films, sounds
        self._reader = MediaReader(limits)

    def picture(self, row: Row, shape: Geometry) -> NDArray[np.uint8]:
        """What a clip shows: uint8 [F,H,W,3]. Raises RejectedError."""
        size, crop = (shape.frames, shape.height, shape.width), row.get("crop")
        with self._films.local(row) as path:
            return picture(self._reader, path, row["start_s"], size, shape.fps, crop)

    def sound(self, row: Row, shape: Geometry) -> NDArray[np.float32]:
        """What is heard: float32 [sounds,S]. Raises RejectedError."""
        rate = shape.audio.sample_rate
        with self._films.local(row) as path:
            return sound(self._reader, path, row["start_s"], shape.samples, rate, self._sounds)

    def read(self, row: Row, shapes: Shapes) -> Media:
        """All that is encoded of a clip. Raises RejectedError."""
        pictures = {name: self.picture(row, shape) for name, shape in shapes.items()}
        base = next(iter(shapes.values()))
        return Media(pictures, self.sound(row, base) if row["has_audio"] else None)

    def close(self) -> None:
        """End the decoder's process."""
        self._reader.close()


class ReadAhead:
    """Readers that work on the next clips while the caller has one in hand.

    Without any, a clip is read by `own` when it is asked for.
    """

    def __init__(self, own: ClipReader, readers: list[ClipReader]) -> None:
        self._own, self._readers = own, readers
        self._free: SimpleQueue[ClipReader] = SimpleQueue()
        for reader in readers:
            self._free.put(reader)
        self._pool = ThreadPoolExecutor(max(1, len(readers)), "reader")

    def over(
        self, clips: Iterable[tuple[T, Row | None]], shapes: Callable[[Row], Shapes]
    ) -> Iterator[tuple[T, Callable[[], Media]]]:
        """Each item with a call that gives the media of its row, in order.

        As many rows are being read as there are readers; an item without a row is only passed on.
        What a reader raises, the call raises.
        """
        waiting: deque[tuple[T, Callable[[], Media]]] = deque()
        for item, row in clips:
            waiting.append((item, self._call(row, shapes)))
            if len(waiting) > len(self._readers):
                yield waiting.popleft()
        yield from waiting

    def _call(self, row: Row | None, shapes: Callable[[Row], Shapes]) -> Callable[[], Media]:
        if row is None:
            return nothing
        if self._readers:
            return self._pool.submit(self._read, row, shapes).result
        return lambda: self._own.read(row, shapes(row))

    def _read(self, row: Row, shapes: Callable[[Row], Shapes]) -> Media:
        reader = self._free.get()
        try:
            return reader.read(row, shapes(row))
        finally:
            self._free.put(reader)

    def close(self) -> None:
        """Let go of what is not begun, wait for the rest and end the decoders."""
        self._pool.shutdown(cancel_futures=True)
        for reader in (self._own, *self._readers):
            reader.close()


def nothing() -> Media:
    """For a clip of which nothing is to be read."""
    raise AssertionError("no media was asked for")
