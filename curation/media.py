"""The only door through which media enter: `MediaReader`.

Times are seconds on the film's clock, 0 at the earliest picture. Every failure of a film is a
`RejectedError`; a wrong request is a ValueError.
"""

import math
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from pydantic import Field

from curation.media_guard import Guard
from curation.media_part import Copy, Spans
from curation.media_sniff import Source, open_source
from curation.records import Reason, RejectedError
from curation.scores import Crop
from curation.settings import Settings

CHILD = "curation.media_child"
WORN = {Reason.MEMORY_LIMIT, Reason.DECODER_CRASH}  # may be what earlier films left in the child
WHOLE = Copy("")
T = TypeVar("T")


class Limits(Settings):
    """What one film may cost. Header limits are checked before anything is decoded."""

    streams: int = Field(16, ge=1, description="streams in a file")
    frame_pixels: int = Field(9_000_000, ge=1, description="pixels of one frame")
    film_pixels: float = Field(
        5e11, gt=0, description="pixels of all frames (4 h of 1080p at 16 fps)"
    )
    seconds: float = Field(14_400, gt=0, description="length of a film")
    channels: int = Field(16, ge=1, description="channels of sound")
    rate: int = Field(384_000, ge=1, description="sample rate of sound")
    wall_s: float = Field(120, gt=0, description="wall clock of one request")
    cpu_s: float = Field(120, ge=1, description="CPU seconds of one request")
    memory_mb: int = Field(2_048, ge=256, description="address space of the decoder")
    result_mb: int = Field(2_048, ge=1, description="pixels or samples of one answer")
    requests: int = Field(2_000, ge=1, description="requests after which the decoder is replaced")


@dataclass(frozen=True)
class VideoFacts:
    """The picture as it is shown: upright, square pixels. Header values."""

    codec: str
    width: int
    height: int
    fps: float
    frames: int  # 0 when the header does not say
    start: float  # on the container's own clock
    rotation: int


@dataclass(frozen=True)
class AudioFacts:
    """The sound. Header values."""

    codec: str
    rate: int
    channels: int
    start: float  # on the container's own clock
    seconds: float  # 0 when the header does not say


@dataclass(frozen=True)
class Probe:
    """What a film says about itself."""

    container: str
    seconds: float
    video: VideoFacts | None
    audio: AudioFacts | None
    bytes: int


@dataclass(frozen=True)
class Frames:
    """Pictures: times float64 [N] of the frames shown, pixels uint8 [N,H,W,3] RGB."""

    times: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class Sound:
    """Sound: samples float32 [channels,N]; sample k lies at start + k/rate."""

    samples: np.ndarray
    rate: int
    start: float


class MediaReader:
    """Opens films in one guarded child process, which is reused and replaced after trouble."""

    def __init__(self, limits: Limits | None = None, child: str = CHILD) -> None:
        self.limits = limits or Limits()
        self._guard = Guard(child, self.limits.memory_mb, self.limits.requests)
        self._open: tuple[str, int] | None = None  # film and generation of the child that holds it
        self._facts: dict[str, Any] = {}
        self._generation = self._films = 0  # the child, and how many films it was given
        self._copies: dict[str, Copy] = {}

    def __enter__(self) -> "MediaReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process. The reader may be used again; a new child starts then."""
        self._guard.close()
        self._open = None

    @contextmanager
    def holding(self, copy: Copy) -> Iterator[None]:
        """For the length of the block know that a film is here in parts.

        What goes beyond them, and whatever is refused, is read again from the whole film.
        """
        self._copies[copy.path] = copy
        try:
            yield
        finally:
            del self._copies[copy.path]

    def ranges(self, path: str | os.PathLike[str], spans: Spans) -> list[tuple[int, int]] | None:
        """(first byte, bytes) of what reading these spans of an mp4 takes besides its header.

        None where only the whole film will do. Raises RejectedError.
        """
        found = self._read(path, lambda _: self._ask({"do": "ranges", "spans": list(spans)}))
        ranges = found["ranges"]
        return None if ranges is None else [(start, count) for start, count in ranges]

    def probe(self, path: str | os.PathLike[str]) -> Probe:
        """Header facts; nothing is decoded. Raises RejectedError."""
        return self._read(path, self._probe)

    def frames(
        self,
        path: str | os.PathLike[str],
        *,
        short_side: int | None = None,
        size: tuple[int, int] | None = None,
        times: Sequence[float] | np.ndarray | None = None,
        start: float = 0.0,
        end: float | None = None,
        crop: Crop | None = None,
    ) -> Frames:
        """Frames with start <= time < end, or those shown at `times`, in that order.

        `size` (height, width) scales to cover and cuts the centre; `short_side` keeps the shape of
        the film. With `crop` either speaks of what is left of the picture without these shares.
        Raises RejectedError; ValueError for a request that no film could meet.
        """
        if short_side is not None and size is not None:
            raise ValueError("give short_side or size, not both")
        if min(1 if short_side is None else short_side, *(size or (1,))) < 1:
            raise ValueError(f"short_side={short_side} and size={size} must be positive")
        if crop and not (size or short_side):
            raise ValueError("a crop needs a size or short_side")
        if crop and not all(0 <= share < 1 for share in crop):
            raise ValueError(f"crop={crop} must be shares of 0 to 1")
        _check_span(start, end)
        asked = None if times is None else np.asarray(times, np.float64)
        if asked is not None and (asked.ndim != 1 or not np.isfinite(asked).all()):
            raise ValueError("times must be a flat list of finite seconds")
        if asked is not None and len(asked) and asked.min() < 0:
            raise ValueError(f"times start at {asked.min():g}; a film starts at 0")
        request = {
            "do": "frames",
            "short_side": short_side,
            "size": size,
            "crop": crop,
            "times": None if asked is None else asked.tolist(),
            "start": start,
            "end": end,
        }
        if asked is not None and len(asked):
            start, end = float(asked.min()), float(asked.max())
        return self._read(path, lambda _: self._frames(request), (start, end))

    def keyframes(
        self, path: str | os.PathLike[str], times: Sequence[float] | np.ndarray
    ) -> list[float | None]:
        """When the last keyframe at or before each of `times` is shown, None where there is none.

        Such a frame costs one decode, any other all of its group. Raises RejectedError.
        """
        request = {"do": "keyframes", "times": np.asarray(times, np.float64).tolist()}
        return self._read(path, lambda _: list(self._ask(request)["times"]))

    def sound(
        self,
        path: str | os.PathLike[str],
        rate: int = 16_000,
        start: float = 0.0,
        end: float | None = None,
        *,
        mono: bool = False,
    ) -> Sound:
        """Sound from start to end (default: the end of the film), silent where there is none.

        Raises RejectedError; ValueError for a request that no film could meet.
        """
        if not 1_000 <= rate <= self.limits.rate:
            raise ValueError(f"rate={rate} must lie in 1000...{self.limits.rate}")
        _check_span(start, end)
        if end is not None and end > self.limits.seconds:
            raise ValueError(f"end={end} is beyond the longest film ({self.limits.seconds:g} s)")
        request = {"do": "sound", "rate": rate, "start": start, "end": end, "mono": mono}
        return self._read(path, lambda _: self._sound(request), (start, end))

    def _probe(self, source: Source) -> Probe:
        video, audio = self._facts["video"], self._facts["audio"]
        return Probe(
            source.container,
            self._facts["seconds"],
            _pick(VideoFacts, video) if video else None,
            _pick(AudioFacts, audio) if audio else None,
            source.bytes,
        )

    def _frames(self, request: dict[str, Any]) -> Frames:
        plan = self._ask(request)
        count, height, width = plan["count"], plan["height"], plan["width"]
        memory = self._fill(count * (8 + height * width * 3))
        shown = memory[: 8 * count].view(np.float64)
        return Frames(shown, memory[8 * count :].reshape(count, height, width, 3))

    def _sound(self, request: dict[str, Any]) -> Sound:
        plan = self._ask(request)
        memory = self._fill(4 * plan["count"] * plan["channels"])
        samples = memory.view(np.float32).reshape(plan["channels"], plan["count"])
        return Sound(samples, request["rate"], plan["start"])

    def _read(
        self,
        path: str | os.PathLike[str],
        work: Callable[[Source], T],
        span: tuple[float, float | None] | None = None,
    ) -> T:
        """Do `work`, which looks at `span`, on the film; on all of it where a part does not do."""
        copy = self._copies.get(os.fspath(path))
        if copy is None:
            return self._tried(path, work)
        if span and not copy.covers(*span):
            copy.complete()
        part = not copy.whole
        try:
            return self._tried(path, work)
        except RejectedError:
            if not part:
                raise
        copy.complete()
        return self._tried(path, work)

    def _tried(self, path: str | os.PathLike[str], work: Callable[[Source], T]) -> T:
        """Do `work` on the film; once more in a new child where an old one may be to blame."""
        try:
            return work(self._source(path))
        except RejectedError as error:
            if error.reason not in WORN or self._films <= 1:
                raise
        self.close()
        return work(self._source(path))

    def _source(self, path: str | os.PathLike[str]) -> Source:
        """Sniff the file and make sure that the child holds it."""
        source = open_source(path)
        try:
            held, generation = self._open, self._guard.ready()
            if held != (source.key, generation):
                self._films = self._films + 1 if self._generation == generation else 1
                self._generation = generation
                self._open = None
                self._facts = self._ask(
                    {
                        "do": "open",
                        "container": source.container,
                        "limits": self.limits.model_dump(),
                        "part": not self._copies.get(os.fspath(path), WHOLE).whole,
                    },
                    source.descriptor,
                )
                self._open = (source.key, generation)
        finally:
            os.close(source.descriptor)
        return source

    def _fill(self, size: int) -> np.ndarray:
        """Bytes [size] that the child wrote, in memory that ends with the array."""
        if size > self.limits.result_mb << 20:
            detail = (
                f"an answer of {size >> 20} MB (limit {self.limits.result_mb}); read shorter spans"
            )
            raise RejectedError(Reason.TOO_MANY_PIXELS, detail)
        if size == 0:
            return np.zeros(0, np.uint8)
        # Unlike a named segment this cannot be left behind: it ends with its last user.
        shared = os.memfd_create("media", os.MFD_CLOEXEC)
        try:
            os.ftruncate(shared, size)
            memory = np.frombuffer(mmap.mmap(shared, size), np.uint8)
            self._ask({"do": "fill", "bytes": size}, shared)
        finally:
            os.close(shared)
        return memory

    def _ask(self, message: dict[str, Any], *descriptors: int) -> dict[str, Any]:
        return self._guard.ask(message, self.limits.wall_s, self.limits.cpu_s, descriptors)


def _check_span(start: float, end: float | None) -> None:
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(f"start={start} must be 0 or more")
    if end is not None and not (math.isfinite(end) and end >= start):
        raise ValueError(f"end={end} must not lie before start={start}")


def _pick(kind: Any, values: dict[str, Any]) -> Any:  # noqa: ANN401 - one of the facts above
    return kind(**{name: values[name] for name in kind.__dataclass_fields__})
