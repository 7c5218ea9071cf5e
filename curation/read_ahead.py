"""Films that several decoders read ahead of the networks, in order, in threads of one process."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from curation.film_spans import clip_spans, film_copy
from curation.media import MediaReader
from curation.media_part import Copy

BESIDE_A_GPU = 4  # decoders that keep it busy: a clip of 1080p takes seconds to decode

Row = dict[str, Any]
T = TypeVar("T")
M = TypeVar("M")


class Closes(Protocol):
    """A reader."""

    def close(self) -> None:
        """End the decoder's process."""
        ...


R = TypeVar("R", bound=Closes)


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

    Clips of a film less than `apart_s` apart are fetched with what lies between them.
    """

    def __init__(self, apart_s: float = 0.0) -> None:
        self._apart_s = apart_s
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
                    spans = clip_spans(clips, self._apart_s)
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


class ReadAhead(Generic[R]):
    """Readers that work on what comes next while the caller has one item in hand.

    Without any, an item is read by `own` when it is asked for.
    """

    def __init__(self, own: R, readers: Sequence[R]) -> None:
        self._own, self._readers = own, readers
        self._free: SimpleQueue[R] = SimpleQueue()
        for reader in readers:
            self._free.put(reader)
        self._pool = ThreadPoolExecutor(max(1, len(readers)), "reader")

    def over(
        self, items: Iterable[tuple[T, Callable[[R], M]]], ahead: bool = True
    ) -> Iterator[tuple[T, Callable[[], M]]]:
        """Each item with a call that gives what its own call reads with a reader, in order.

        As many are being read as there are readers, or none before it is asked for unless `ahead`.
        What a reader raises, the call raises.
        """
        waiting: deque[tuple[T, Callable[[], M]]] = deque()
        most = len(self._readers) if ahead else 0
        for item, read in items:
            waiting.append((item, self._call(read, bool(most))))
            if len(waiting) > most:
                yield waiting.popleft()
        yield from waiting

    def _call(self, read: Callable[[R], M], ahead: bool) -> Callable[[], M]:
        if ahead:
            return self._pool.submit(self._read, read).result
        return lambda: read(self._own)

    def _read(self, read: Callable[[R], M]) -> M:
        reader = self._free.get()
        try:
            return read(reader)
        finally:
            self._free.put(reader)

    def close(self) -> None:
        """Let go of what is not begun, wait for the rest and end the decoders."""
        self._pool.shutdown(cancel_futures=True)
        for reader in (self._own, *self._readers):
            reader.close()
