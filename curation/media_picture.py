"""Pictures by time: decord where it is right, PyAV elsewhere, both behind `read`.

decord 0.6 resizes while it decodes and is about twice as fast as PyAV, but it is wrong on edit
lists (other frames by other access paths) and after seeks into open groups, knows no AV1 and
rounds odd sizes. It is used when its own frame times agree with the packets' on every frame, and
left for PyAV at its first complaint. Both give the same bytes.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from curation.media_index import (
    Clock,
    Picture,
    check_pixels,
    check_quiet,
    complaints,
    open_container,
    picture_stream,
)
from curation.records import Reason, RejectedError

DECORD_CODECS = {"h264", "hevc", "vp8", "vp9", "mpeg4", "mpeg2video"}
BATCH_BYTES = 32 << 20
MATCH_S = 2e-3  # decord keeps times as float32: 1 ms at 4 hours
BAD_SHARE = 0.05  # of the frames read: what loose containers may leave out
LOOSE = {"avi", "mpeg", "mpegts", "flv", "ogg"}
SKIP_AHEAD = 48  # decoding this many unwanted frames costs about as much as a seek
REST_S = 0.01  # how long a decoder may go on after its last frame was delivered

Deliver = Callable[[int, np.ndarray], None]  # position in the request, uint8 [H,W,3]


@dataclass(frozen=True)
class Shape:
    """Scale to `scaled` (height, width), then cut out `out` from `at` (top, left) on. Upright."""

    scaled: tuple[int, int]
    out: tuple[int, int]
    at: tuple[int, int] = (0, 0)

    def crop(self, pixels: np.ndarray) -> np.ndarray:
        """What is wanted of [..., H, W, 3]."""
        top, left = self.at
        return pixels[..., top : top + self.out[0], left : left + self.out[1], :]


def shape_for(
    picture: Picture,
    short_side: int | None,
    size: list[int] | None,
    crop: list[float] | None = None,
) -> Shape:
    """What a request's size and crop mean for this film. Raises RejectedError(no_video)."""
    if crop:
        return shape_within(picture, crop, short_side, size)
    height, width = picture.height, picture.width
    if size is not None:
        h, w = size
        scale = max(h / height, w / width)
        scaled = max(h, round(height * scale)), max(w, round(width * scale))
        return Shape(scaled, (h, w), ((scaled[0] - h) // 2, (scaled[1] - w) // 2))
    if short_side is None:
        return Shape((height, width), (height, width))
    scale = short_side / min(height, width)
    out = max(1, round(height * scale)), max(1, round(width * scale))
    return Shape(out, out)


def shape_within(
    picture: Picture, crop: list[float], short_side: int | None, size: list[int] | None
) -> Shape:
    """The same of what `crop` leaves: shares of the height and width off top, bottom, left, right.

    The whole picture is scaled, so that decord can do it, and the part cut out of it. Scaling mixes
    half a pixel across the cut into what lies beside it: that half stays out too. Raises
    RejectedError(no_video) when nothing is left.
    """
    whole, cuts = (picture.height, picture.width), (crop[:2], crop[2:])
    inside = [n * (1 - sum(cut)) for n, cut in zip(whole, cuts, strict=True)]
    if min(inside) < 1:
        raise RejectedError(Reason.NO_VIDEO, "the bars leave nothing of the picture")
    if size is None:
        scale = (short_side or min(whole)) / min(inside)
        size = [max(1, round(n * scale)) for n in inside]
    # Two pixels more where something is cut: two halves, and rounding to whole ones at both ends.
    room = [n + 2 * any(cut) for n, cut in zip(size, cuts, strict=True)]
    scale = max(n / left for n, left in zip(room, inside, strict=True))
    scaled, at = [], []
    for n, (first, last), out in zip(whole, cuts, size, strict=True):
        full = max(out, math.ceil(n * scale))
        start = math.ceil(first * full + 0.5) if first else 0
        stop = math.floor((1 - last) * full - 0.5) if last else full
        assert stop - start >= out, f"{stop - start} pixels left of {full}, {out} wanted"
        scaled.append(full)
        at.append(start + (stop - start - out) // 2)
    return Shape((scaled[0], scaled[1]), (size[0], size[1]), (at[0], at[1]))


class DecordPictures:
    """Frames by number through decord. `None` of `open` means: not a file for decord."""

    def __init__(self, reader: Any, shape: Shape, errors: Any) -> None:  # noqa: ANN401 - untyped
        self._reader, self._shape, self._errors = reader, shape, errors

    @classmethod
    def open(
        cls,
        descriptor: int,
        container: str,
        picture: Picture,
        clock: Clock,
        shape: Shape,
        part: bool = False,
    ) -> "DecordPictures | None":
        """Open when every frame time agrees with the packets'; of a `part` of a film too."""
        odd = picture.coded[0] % 2 or picture.coded[1] % 2
        if container not in ("mov", "matroska") or picture.codec not in DECORD_CODECS:
            return None
        if not clock.plain or picture.rotation or odd:
            return None
        import decord  # noqa: PLC0415 - 60 ms and 60 MB that audio and AV1 do without

        decord.logging.set_level(decord.logging.PANIC if part else decord.logging.ERROR)
        errors = (decord.DECORDError, RuntimeError, IndexError)
        height, width = shape.scaled
        quiet = complaints()
        try:
            reader = decord.VideoReader(
                f"/proc/self/fd/{descriptor}",
                decord.cpu(0),
                width=width,
                height=height,
                num_threads=1,
            )
            if len(reader) != len(clock.times):
                return None
            times = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)
        except errors:
            return None
        finally:
            decord.logging.set_level(decord.logging.ERROR)
        if np.abs(times - times[0] - clock.times).max() > MATCH_S or complaints() != quiet:
            return None
        return cls(reader, shape, errors)

    def read(self, wanted: np.ndarray, deliver: Deliver) -> bool:
        """Deliver the frames numbered `wanted` (ascending); False when decord complained."""
        height, width = self._shape.scaled
        batch = max(1, BATCH_BYTES // (height * width * 3))
        quiet = complaints()
        try:
            for first in range(0, len(wanted), batch):
                numbers = wanted[first : first + batch]
                frames = self._reader.get_batch(numbers.tolist()).asnumpy()
                if frames.shape[1:] != (height, width, 3):
                    return False
                for offset, frame in enumerate(self._shape.crop(frames)):
                    deliver(first + offset, frame)
            self._rest()
        except self._errors:
            return False
        return complaints() == quiet

    def _rest(self) -> None:
        """Stop a decoder that runs ahead of what was asked.

        While no frame is ready decord's reader pushes packets, so when its decoding thread has to
        wait for a core, thousands of them. That thread then decodes on while nobody reads, into a
        queue without a bound: 2.7 GB between two requests on a busy machine. A seek empties both.
        """
        until = time.monotonic() + REST_S
        while decoding():
            if time.monotonic() > until:
                self._reader.seek(0)
                return
            time.sleep(0.001)


def decoding() -> bool:
    """Whether a thread besides the main one of this process runs or waits for a core."""
    main = str(os.getpid())
    for task in Path("/proc/self/task").iterdir():
        state = (task / "stat").read_bytes().rpartition(b")")[2].split()[0]
        if task.name != main and state == b"R":
            return True
    return False


class AvPictures:
    """Frames by number through PyAV: decode forward from the keyframe before."""

    def __init__(
        self,
        descriptor: int,
        container: str,
        picture: Picture,
        clock: Clock,
        shape: Shape,
        limits: dict[str, Any],
    ) -> None:
        self._kind, self._picture, self._clock, self._shape = container, picture, clock, shape
        self._limits = limits
        self._scaler: Any = None
        self._scaler_for: Any = None
        self._read = self._holes = 0
        self._open = lambda: open_container(descriptor, container, limits)
        self._before: tuple[int, Any] = (-1, None)  # number and frame decoded before the last
        self._current: tuple[int, Any] = (-1, None)
        self._start()

    def read(self, wanted: np.ndarray, deliver: Deliver) -> bool:
        """Deliver the frames numbered `wanted` (ascending). Raises RejectedError(corrupt)."""
        if not len(wanted):
            return True
        quiet = complaints()
        self._deliver(wanted, deliver)
        if complaints() > quiet:
            # A seek into an open group makes decoders miss pictures that nobody asked for. So
            # once more from two keyframes before, listening from the last one on.
            first = int(wanted[0])
            self._seek(first, back=2)
            key = self._key(first)
            self._advance(0 if key is None else int(np.searchsorted(self._clock.stamps, key[0])))
            quiet = complaints()
            self._deliver(wanted, deliver)
            check_quiet(quiet, f"pictures from {self._clock.times[first]:.3f} s")
        return True

    def _deliver(self, wanted: np.ndarray, deliver: Deliver) -> None:
        for position, target in enumerate(wanted.tolist()):
            deliver(position, self._convert(self._shown(target)))

    def _shown(self, target: int) -> Any:  # noqa: ANN401 - an av.VideoFrame
        """The frame on screen at frame time `target`."""
        if target <= self._before[0] or self._worth_seeking(target):
            self._seek(target)
        if not self._advance(target) and self._sought:
            self._start()  # the seek did not arrive where the packets said
            self._advance(target)
        number, frame = self._current
        self._read += 1
        at = self._clock.times[target]
        if number == target:
            if frame.is_corrupt:
                raise RejectedError(Reason.CORRUPT, f"the picture at {at:.3f} s is damaged")
            return frame
        self._holes += 1
        allowed = 2 + BAD_SHARE * self._read if self._kind in LOOSE else 0
        if self._before[1] is None or self._holes > allowed:
            raise RejectedError(Reason.CORRUPT, f"the picture at {at:.3f} s does not decode")
        return self._before[1]

    def _advance(self, target: int) -> bool:
        """Decode up to frame `target`; False when it was passed, at the end, or broken."""
        try:
            while self._current[0] < target:
                before = self._current
                self._current = self._next()
                self._before = before
        except av.error.FFmpegError as error:
            if not self._sought:
                at = self._clock.times[target]
                raise RejectedError(
                    Reason.CORRUPT, f"before {at:.3f} s: {error.strerror}"
                ) from None
            return False
        return self._current[0] == target

    def _next(self) -> tuple[int, Any]:
        stamps = self._clock.stamps
        for frame in self._frames:
            check_pixels(frame.width, frame.height, 1, self._limits)
            if self._clock.counted:
                return self._current[0] + 1, frame
            number = int(np.searchsorted(stamps, frame.pts)) if frame.pts is not None else -1
            # A frame that no packet announced: leading pictures of an open group.
            if 0 <= number < len(stamps) and stamps[number] == frame.pts:
                return number, frame
        return len(stamps), None

    def _worth_seeking(self, target: int) -> bool:
        if self._clock.counted or target <= self._current[0] + SKIP_AHEAD:
            return False
        key = self._key(target)
        return key is not None and key[0] > self._clock.stamps[max(0, self._current[0])]

    def _key(self, target: int, back: int = 0) -> np.ndarray | None:
        """(pts, dts) of the keyframe at or before frame `target`, or of one `back` before that."""
        found = int(np.searchsorted(self._clock.keys[:, 0], self._clock.stamps[target], "right"))
        return self._clock.keys[found - 1 - back] if found > back else None

    def _seek(self, target: int, back: int = 0) -> None:
        key = None if self._clock.counted else self._key(target, back)
        if key is None:
            return self._start()
        # Containers look keyframes up by either time, so the smaller one never lands behind it.
        try:
            self._container.seek(int(min(key)), stream=self._stream, backward=True)
        except av.error.FFmpegError:
            return self._start()
        self._begin()
        self._sought = True
        return None

    def _start(self) -> None:
        self._container = self._open()
        self._stream = picture_stream(self._container)
        self._stream.codec_context.thread_count = 1
        self._begin()
        self._sought = False

    def _begin(self) -> None:
        self._before = self._current = (-1, None)
        self._frames = self._container.decode(self._stream)

    def _convert(self, frame: Any) -> np.ndarray:  # noqa: ANN401
        """Scaled, upright RGB [H,W,3]."""
        turned = self._picture.rotation % 180
        height, width = self._shape.scaled[::-1] if turned else self._shape.scaled
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if self._scaler_for != key:
            self._scaler = _scaler(frame, self._stream.time_base, width, height)
            self._scaler_for = key
        self._scaler.push(frame)
        pixels = self._scaler.pull().to_ndarray()
        return self._shape.crop(np.rot90(pixels, self._picture.rotation // 90))


def _scaler(frame: Any, base: Any, width: int, height: int) -> Any:  # noqa: ANN401
    """A filter graph that scales as decord does, to the same bytes."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=base
    )
    scale = graph.add("scale", f"{width}:{height}:flags=bilinear")
    layout = graph.add("format", "rgb24")
    sink = graph.add("buffersink")
    graph.link_nodes(source, scale, layout, sink).configure()
    return graph
