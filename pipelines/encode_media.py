"""Pictures and sound of clips, read ahead by decoders of their own while the networks encode."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from curation.film_spans import clip_spans, film_copy
from curation.media import Limits, MediaReader
from curation.media_part import Copy
from curation.rendition import picture, sound
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
    copy: Copy | None = None
    lock: Lock = field(default_factory=Lock)
    hold: ExitStack = field(default_factory=ExitStack)


class Films:
    """Local paths of films; what lies elsewhere is fetched once for all readers and all clips that
    are expected, and kept until nobody uses it and another film is wanted.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._films: dict[str, Film] = {}
        self._together: dict[str, list[Row]] = {}  # clip → those of its film that are expected

    def expect(self, clips: Iterable[Row]) -> None:
        """These clips are wanted next; those of one film are fetched together."""
        films: dict[str, list[Row]] = {}
        for row in clips:
            films.setdefault(row["path"], []).append(row)
        self._together = {row["clip_id"]: rows for rows in films.values() for row in rows}

    @contextmanager
    def local(self, row: Row, reader: MediaReader) -> Iterator[str]:
        """The clip's film as a local path that is good for what `reader` reads of the clip.

        Raises RejectedError if it is not the film that was scanned.
        """
        clips = self._together.get(row["clip_id"], [row])
        with self._lock:
            film = self._films.setdefault(clips[0]["clip_id"], Film())
            film.users += 1
            idle = [name for name, other in self._films.items() if not other.users]
            for name in idle:
                self._films.pop(name).hold.close()
        try:
            with film.lock:
                if film.copy is None:
                    spans = clip_spans(clips)
                    film.copy = film.hold.enter_context(film_copy(reader, row, lambda _: spans))
            with reader.holding(film.copy):
                yield film.copy.path
        finally:
            with self._lock:
                film.users -= 1

    def close(self) -> None:
        """Remove all copies."""
        for film in self._films.values():
            film.hold.close()
        self._films.clear()


class ClipReader:
    """Reads clips with a guarded decoder; `sounds` is how many channels the sound has."""

    def __init__(self, films: Films, limits: Limits | None, sounds: int) -> None:
        self._films, self._sounds = films, sounds
        self._reader = MediaReader(limits)

    def picture(self, row: Row, shape: Geometry) -> NDArray[np.uint8]:
        """What a clip shows: uint8 [F,H,W,3]. Raises RejectedError."""
        size, crop = (shape.frames, shape.height, shape.width), row.get("crop")
        with self._films.local(row, self._reader) as path:
            return picture(self._reader, path, row["start_s"], size, shape.fps, crop)

    def sound(self, row: Row, shape: Geometry) -> NDArray[np.float32]:
        """What is heard: float32 [sounds,S]. Raises RejectedError."""
        rate = shape.audio.sample_rate
        with self._films.local(row, self._reader) as path:
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
