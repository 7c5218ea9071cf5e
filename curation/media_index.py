"""The facts of one open film: streams from its header, frame times from its packets, its clock.

Packets are the one source of frame times: every decoder's frames are matched to them, so that all
access paths agree. Time 0 is the earliest picture that can be shown (or the first sound, when
there is no picture).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from curation.records import Reason, RejectedError

MISSING = np.iinfo(np.int64).min  # a packet without this time
MAX_PACKETS = 5_000_000
LEVEL = av.logging.ERROR  # what decoders say aloud
SHORTFALL_S = 0.5  # declared seconds that may be missing at the end, and 1 % of the whole
FROM_ZERO = {"mov", "matroska", "avi", "flv"}  # count their length from 0, not from a first time


@dataclass(frozen=True)
class Picture:
    """The video stream as it is shown: upright, square pixels."""

    index: int
    codec: str
    width: int
    height: int
    coded: tuple[int, int]  # width, height before rotation and pixel aspect
    rotation: int  # degrees counter-clockwise that make it upright
    fps: float
    frames: int  # as the header claims, 0 when it does not say
    start: float


@dataclass(frozen=True)
class Track:
    """The audio stream."""

    index: int
    codec: str
    rate: int
    channels: int
    start: float
    seconds: float


@dataclass(frozen=True)
class Clock:
    """Frame times from the packets, in seconds from 0, and where 0 lies."""

    zero: Fraction  # seconds on the container's own clock
    times: np.ndarray  # float64 [N], presentation order
    stamps: np.ndarray  # int64 [N], the same in ticks of the video stream
    keys: np.ndarray  # int64 [K, 2], (pts, dts) of the keyframes
    tick: float  # seconds a tick
    plain: bool  # nothing hidden by edit lists, no negative time, no open group: right anywhere
    counted: bool  # times are missing from packets: frames are known by their order alone
    end: float  # last moment of picture or sound


def open_container(descriptor: int, container: str, limits: dict[str, Any]) -> Any:  # noqa: ANN401
    """Open with the sniffed demuxer only. Raises RejectedError."""
    try:
        return av.open(
            f"/proc/self/fd/{descriptor}",
            format=container,
            metadata_errors="replace",
            options={
                "protocol_whitelist": "file",
                # One more than allowed is enough to be refused; the others are never set up.
                "max_streams": str(limits["streams"] + 1),
                "max_pixels": str(limits["frame_pixels"]),
            },
        )
    except av.error.FFmpegError as error:
        if "max_streams" in last_words():
            raise RejectedError(Reason.TOO_MANY_STREAMS, f"more than {limits['streams']}") from None
        raise RejectedError(Reason.CORRUPT, f"does not open: {error.strerror}") from None


def complaints() -> int:
    """Bytes that decoders wrote on standard error during this request."""
    return os.fstat(2).st_size


def check_quiet(since: int, doing: str) -> None:
    """Decoders conceal damage and report success; what they say counts. Raises RejectedError."""
    if complaints() > since:
        words = os.pread(2, 400, since).decode(errors="replace").strip().split("\n")[0]
        # Without addresses, so that a rerun gives the same row.
        raise RejectedError(Reason.CORRUPT, f"{doing}: {re.sub(r' @ 0x[0-9a-f]+', '', words)}")


@contextmanager
def silence(holes: bool) -> Iterator[None]:
    """Where a file has `holes`, let demuxers, which look into packets of H.264, say nothing."""
    av.logging.set_libav_level(av.logging.PANIC if holes else LEVEL)
    try:
        yield
    finally:
        av.logging.set_libav_level(LEVEL)


def too_large() -> bool:
    """Whether a decoder refused a picture for its size in this request, whatever it raised."""
    return "max pixel count" in last_words()


def last_words(limit: int = 4096) -> str:
    """What the decoders wrote on standard error during this request."""
    size = os.fstat(2).st_size
    return os.pread(2, limit, max(0, size - limit)).decode(errors="replace")


def picture_stream(container: Any) -> Any:  # noqa: ANN401 - PyAV's stubs end at streams
    """The first video stream that is not a cover picture, or None."""
    for stream in container.streams.video:
        if "attached_pic" not in str(stream.disposition) and stream.codec_context is not None:
            return stream
    return None


def sound_stream(container: Any) -> Any:  # noqa: ANN401
    """The first audio stream that has a decoder, or None."""
    return next((s for s in container.streams.audio if s.codec_context is not None), None)


def check_header(container: Any, limits: dict[str, Any]) -> None:  # noqa: ANN401
    """Refuse what is too large before anything is decoded. Raises RejectedError."""
    if len(container.streams) > limits["streams"]:
        raise RejectedError(Reason.TOO_MANY_STREAMS, f"{len(container.streams)} streams")
    seconds = (container.duration or 0) / av.time_base
    if seconds > limits["seconds"]:
        raise RejectedError(Reason.TOO_LONG, f"{seconds:.0f} s, the limit is {limits['seconds']:g}")
    video, audio = picture_stream(container), sound_stream(container)
    if video is not None:
        check_pixels(video.codec_context.width, video.codec_context.height, video.frames, limits)
    if audio is not None:
        rate, channels = audio.codec_context.sample_rate, audio.codec_context.channels
        if rate > limits["rate"] or channels > limits["channels"]:
            raise RejectedError(Reason.CORRUPT, f"sound of {channels} channels at {rate} Hz")


def check_pixels(width: int, height: int, frames: int, limits: dict[str, Any]) -> None:
    """Raises RejectedError(too_many_pixels) for one frame or for all together."""
    if width * height > limits["frame_pixels"]:
        raise RejectedError(Reason.TOO_MANY_PIXELS, f"a frame of {width}x{height}")
    if width * height * frames > limits["film_pixels"]:
        raise RejectedError(Reason.TOO_MANY_PIXELS, f"{frames} frames of {width}x{height}")


def declared_seconds(container: Any, kind: str) -> float:  # noqa: ANN401
    """Length from the first picture on as the header tells it, 0 when it does not."""
    seconds = (container.duration or 0) / av.time_base
    video = picture_stream(container)
    if kind not in FROM_ZERO or video is None or not seconds:
        return seconds
    return max(0.0, seconds - float((video.start_time or 0) * video.time_base))


def rotation_of(container: Any, stream: Any) -> int:  # noqa: ANN401
    """Degrees counter-clockwise that turn the picture upright; the first frame tells."""
    try:
        frame = next(container.decode(stream), None)
    except av.error.FFmpegError:
        if too_large():  # decord, which might come next, knows no such limit
            raise RejectedError(Reason.TOO_MANY_PIXELS, "larger than the header says") from None
        return 0  # the reading that follows says what is wrong
    return int(round(frame.rotation / 90) * 90 % 360) if frame is not None else 0


def describe(stream: Any, rotation: int) -> Picture:  # noqa: ANN401
    """Header facts of a video stream. Raises RejectedError(corrupt) when it has no size."""
    codec = stream.codec_context
    width, height = codec.width, codec.height
    if not width or not height:
        raise RejectedError(Reason.CORRUPT, f"the {codec.name} stream has no picture size")
    aspect = stream.sample_aspect_ratio or Fraction(1)
    wide = round(width * aspect) if Fraction(1, 8) <= aspect <= 8 else width
    shown = (height, wide) if rotation % 180 else (wide, height)
    fps = stream.average_rate or stream.guessed_rate or Fraction(0)
    start = float((stream.start_time or 0) * stream.time_base)
    return Picture(
        stream.index,
        codec.name,
        *shown,
        (width, height),
        rotation,
        float(fps),
        stream.frames,
        start,
    )


def describe_sound(stream: Any) -> Track:  # noqa: ANN401
    """Header facts of an audio stream. Raises RejectedError(corrupt) when it has no rate."""
    codec = stream.codec_context
    if not codec.sample_rate or not codec.channels:
        raise RejectedError(Reason.CORRUPT, f"the {codec.name} stream has no sample rate")
    base = stream.time_base
    return Track(
        stream.index,
        codec.name,
        codec.sample_rate,
        codec.channels,
        float((stream.start_time or 0) * base),
        float((stream.duration or 0) * base),
    )


def read_clock(container: Any, limits: dict[str, Any]) -> Clock:  # noqa: ANN401
    """Read every packet once. Raises RejectedError: corrupt, too_long, too_many_pixels."""
    video, audio = picture_stream(container), sound_stream(container)
    rows: list[tuple[int, int, bool, bool]] = []
    spans: dict[int, tuple[int, int]] = {}  # first and last moment of each stream, in its ticks
    pictures, vp8 = (-1, False) if video is None else (video.index, video.codec.name == "vp8")
    try:
        for count, packet in enumerate(container.demux()):
            if count > MAX_PACKETS:
                raise RejectedError(Reason.TOO_LONG, f"more than {MAX_PACKETS} packets")
            if packet.size == 0:
                continue
            if packet.is_corrupt:
                raise RejectedError(Reason.CORRUPT, f"packet {count} is damaged")
            index, pts, dts = packet.stream_index, packet.pts, packet.dts
            stamp = dts if pts is None else pts
            if stamp is not None:
                low, high = spans.get(index, (stamp, stamp))
                end = stamp + (packet.duration or 0)
                spans[index] = (min(low, stamp), max(high, end))
            if index == pictures and not (vp8 and _hidden_vp8(packet)):
                pts = MISSING if pts is None else pts
                dts = MISSING if dts is None else dts
                rows.append((pts, dts, packet.is_keyframe, packet.is_discard))
    except av.error.FFmpegError as error:
        raise RejectedError(Reason.CORRUPT, f"reading stopped: {error.strerror}") from None
    bases = [stream.time_base for stream in container.streams]
    first = min((low * bases[index] for index, (low, _) in spans.items()), default=None)
    last = max((high * bases[index] for index, (_, high) in spans.items()), default=Fraction(0))
    _check_complete(container, first, last)
    if video is None or not rows:
        if video is not None:
            raise RejectedError(Reason.CORRUPT, "a video stream without pictures")
        # The stream's start is behind the encoder's priming, unlike the first packet.
        zero = (audio.start_time or 0) * audio.time_base if audio is not None else Fraction(0)
        none = np.zeros(0, np.int64)
        keys = np.zeros((0, 2), np.int64)
        return Clock(zero, none.astype(float), none, keys, 1.0, True, False, float(last - zero))
    return _picture_clock(video, np.array(rows, np.int64), last, limits)


def _picture_clock(
    video: Any,  # noqa: ANN401
    rows: np.ndarray,
    last: Fraction,
    limits: dict[str, Any],
) -> Clock:
    """The clock of a film with pictures; rows are int64 [packets, (pts, dts, key, hidden)]."""
    keyed = np.flatnonzero(rows[:, 2])
    if not len(keyed):
        raise RejectedError(Reason.CORRUPT, "no keyframe")
    rows = rows[keyed[0] :]
    counted = bool((rows[:, 0] == MISSING).any())
    hidden = bool(rows[:, 3].any())
    stamps = np.unique(rows[rows[:, 3] == 0, 1 if counted else 0])
    if not len(stamps) or stamps[0] == MISSING:
        raise RejectedError(Reason.CORRUPT, "pictures without times")
    if not counted and not hidden:
        # Leading pictures of an open first group refer to frames that are not in the file.
        stamps = stamps[stamps >= rows[0, 0]]
    keys = rows[(rows[:, 2] == 1) & (rows[:, 0] != MISSING), :2]
    keys[:, 1] = np.where(keys[:, 1] == MISSING, keys[:, 0], keys[:, 1])
    codec, base = video.codec_context, video.time_base
    check_pixels(codec.width, codec.height, len(stamps), limits)
    zero = int(stamps[0]) * base
    times = (stamps - stamps[0]).astype(np.float64) * float(base)
    end = max(float(last - zero), float(times[-1]))
    if end > limits["seconds"]:
        raise RejectedError(Reason.TOO_LONG, f"{end:.0f} s, the limit is {limits['seconds']:g}")
    whole = keyed[0] == 0 and len(stamps) == len(rows)
    # Pictures that follow a keyframe and are shown before it (an open group) come out damaged when
    # decord seeks to that keyframe, and nothing says so.
    later = np.minimum.accumulate(rows[::-1, 0])[::-1]
    closed = bool((later == rows[:, 0])[rows[:, 2] == 1].all())
    plain = whole and closed and not hidden and not counted and int(stamps[0]) >= 0
    keys = keys[np.argsort(keys[:, 0])]
    return Clock(zero, times, stamps, keys, float(base), plain, counted, end)


def _check_complete(container: Any, first: Fraction | None, last: Fraction) -> None:  # noqa: ANN401
    """A file cut short still declares its full length. Raises RejectedError(corrupt)."""
    if not container.duration or first is None:
        return
    declared = container.duration / av.time_base
    # Some containers count their length from 0, others from their first packet.
    present = float(max(last, last - first))
    if declared - present > SHORTFALL_S + declared / 100:
        raise RejectedError(Reason.CORRUPT, f"ends at {present:.2f} s of {declared:.2f} s declared")


def _hidden_vp8(packet: Any) -> bool:  # noqa: ANN401
    """VP8 alternate reference frames take a packet and are never shown (RFC 6386 §9.1)."""
    return not memoryview(packet)[0] & 0x10
