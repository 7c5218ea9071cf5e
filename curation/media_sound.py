"""Sound on the film's clock: padding trimmed, gaps silent, resampled on one grid for the film.

Sample k of a result lies at start + k/rate. Reading a film in pieces gives the same samples as
reading it whole: the resampler always starts on a common multiple of both rates, and each stretch
of a film that can be sought in has a decoder of its own, because what some decoders give depends on
all that they gave before.
"""

from collections.abc import Iterator
from math import ceil, gcd
from typing import Any

import av
import numpy as np

from curation.media_index import (
    Clock,
    Track,
    check_quiet,
    complaints,
    open_container,
    sound_stream,
)
from curation.records import Reason, RejectedError

JITTER_S = 5e-3  # containers round times to 1 ms; a larger step is a real gap
PREROLL_S = 0.25  # AAC needs one packet before, Opus 80 ms, to sound as in sequence
BLOCK_S = 10.0
TAPS = 256  # samples of the slower rate beyond a block's ends: the resampler's filter is 32
FAR = 1 << 60  # samples: beyond any film
SEEKABLE = {"mov"}  # elsewhere a sample's time after a seek is a guess, or rounded to 1 ms
STRETCH_S = 4  # of one decoder
NOISY = {"aac", "ac3", "eac3"}  # draw noise from a generator that no seek sets back


class SoundTrack:
    """Samples of one film's sound at any rate. Letters: C channels, N samples."""

    def __init__(
        self, descriptor: int, container: str, track: Track, clock: Clock, limits: dict[str, Any]
    ) -> None:
        self._kind, self._track, self._clock = container, track, clock
        self._open = lambda: open_container(descriptor, container, limits)
        self._rate = track.rate
        self._long = STRETCH_S * track.rate if container in SEEKABLE else FAR
        self._pieces: list[tuple[int, np.ndarray]] = []  # (number of the first sample, samples)
        self._known = self._reached = -FAR  # samples held without a break, from and to
        self._stretch = 0
        self._start()

    def resampled(self, first: int, out: np.ndarray, rate: int) -> None:
        """Fill out [C or 1, N] with samples first..first+N of the film at `rate`.

        One row of `out` means the mean of all channels. Raises RejectedError(corrupt, not_finite).
        """
        block = max(1, int(BLOCK_S * rate))
        for begin in range(0, out.shape[1], block):
            end = min(out.shape[1], begin + block)
            part = self._block(first + begin, first + end, rate, mono=out.shape[0] == 1)
            if not np.isfinite(part).all():
                raise RejectedError(Reason.NOT_FINITE, f"sound near {(first + begin) / rate:.2f} s")
            out[:, begin:end] = part

    def _block(self, first: int, end: int, rate: int, *, mono: bool) -> np.ndarray:
        source = self._track.rate
        if rate == source:
            samples = self._native(first, end)
            return samples.mean(0, keepdims=True) if mono else samples
        divisor = gcd(rate, source)
        up, down = rate // divisor, source // divisor
        pad = TAPS / min(rate, source)  # seconds
        begin = int((first / rate - pad) * rate // up)  # in common multiples of both rates
        stop = ceil((end / rate + pad) * source)
        samples = self._native(begin * down, stop)
        if mono:
            samples = samples.mean(0, keepdims=True)
        skip = first - begin * up
        rows = [_resample(row, source, rate)[skip:] for row in samples]
        return np.stack([row[: end - first] for row in rows])

    def _native(self, first: int, end: int) -> np.ndarray:
        """Samples first..end at the film's own rate [C, end-first], silent where there are none."""
        quiet = complaints()
        result = np.zeros((self._track.channels, end - first), np.float32)
        for stretch in range(max(0, first // self._long), max(0, (end - 1) // self._long) + 1):
            begin = max(first, stretch * self._long) if stretch else first
            stop = min(end, (stretch + 1) * self._long)
            self._fill(stretch, begin, result[:, begin - first : stop - first])
        check_quiet(quiet, f"sound before {end / self._rate:.2f} s")
        return result

    def _fill(self, stretch: int, first: int, out: np.ndarray) -> None:
        """Fill out [C,N] with samples from `first` on, all of one stretch."""
        end = first + out.shape[1]
        if stretch != self._stretch or first < self._known:
            self._enter(stretch)
        self._known = max(self._known, first)
        self._pieces = [(at, piece) for at, piece in self._pieces if at + piece.shape[1] > first]
        while self._reached < end:
            piece = self._next()
            if piece is None:
                break
            self._pieces.append(piece)
        for at, samples in self._pieces:
            begin, stop = max(at, first), min(at + samples.shape[1], end)
            if begin < stop:
                out[:, begin - first : stop - first] = samples[:, begin - at : stop - at]

    def _next(self) -> tuple[int, np.ndarray] | None:
        """The next decoded stretch and the number of its first sample."""
        try:
            frame = next(self._frames, None)
        except av.error.FFmpegError as error:
            at = max(0, self._reached) / self._rate
            raise RejectedError(
                Reason.CORRUPT, f"sound after {at:.2f} s: {error.strerror}"
            ) from None
        if frame is None:
            self._reached = FAR
            return None
        if frame.sample_rate != self._rate or frame.layout.nb_channels != self._track.channels:
            raise RejectedError(Reason.CORRUPT, "the sound changes its rate or channels midway")
        if frame.is_corrupt:
            raise RejectedError(
                Reason.CORRUPT, f"sound at {self._reached / self._rate:.2f} s is damaged"
            )
        samples = as_float(frame)
        at = self._reached
        if frame.pts is not None:
            stamp = round((frame.pts * frame.time_base - self._clock.zero) * self._rate)
            if abs(stamp - self._reached) > JITTER_S * self._rate:
                samples = samples[:, max(0, min(samples.shape[1], self._reached - stamp)) :]
                at = max(stamp, self._reached)
        self._reached = at + samples.shape[1]
        return at, samples

    def _enter(self, stretch: int) -> None:
        """Begin anew, a little before a stretch."""
        self._stretch, first = stretch, stretch * self._long
        if not stretch:
            self._start()
            return
        seconds = STRETCH_S * stretch - PREROLL_S
        stamp = int((seconds + float(self._clock.zero)) / self._stream.time_base)
        try:
            self._container.seek(stamp, stream=self._stream, backward=True)
        except av.error.FFmpegError:
            self._start()
            return
        self._begin(self._anew())
        ahead = self._next()
        if ahead is None or ahead[0] > first - PREROLL_S / 2 * self._rate:
            self._start()  # the seek landed behind the wanted sample
        while self._reached < first - PREROLL_S / 4 * self._rate and self._next():
            pass  # decoders may complain until they have what comes before

    def _anew(self) -> Iterator[Any]:
        """Frames from where the container stands, by a decoder without a past."""
        known = self._stream.codec_context
        if known.name not in NOISY:
            return self._container.decode(self._stream)
        decoder = av.CodecContext.create(known.name, "r")
        decoder.extradata = known.extradata
        packets = self._container.demux(self._stream)
        return (frame for packet in packets for frame in decoder.decode(packet))

    def _start(self) -> None:
        # A seek to the start would not do: demuxers trim the priming only after opening.
        self._container = self._open()
        self._stream = sound_stream(self._container)
        for stream in self._container.streams:
            if stream is not self._stream:
                stream.discard = av.stream.Discard.all
        self._begin(self._container.decode(self._stream))

    def _begin(self, frames: Iterator[Any]) -> None:
        self._frames = frames
        self._pieces = []
        self._known = self._reached = -FAR


def as_float(frame: Any) -> np.ndarray:  # noqa: ANN401 - an av.AudioFrame
    """Samples of a frame as float32 [C,N] in -1...1."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float32, copy=False)


def _resample(samples: np.ndarray, source: int, rate: int) -> np.ndarray:
    """One channel through libswresample; result k lies at sample k * source / rate."""
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "fltp", "mono")
    frame.sample_rate = source
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([piece.to_ndarray()[0] for piece in pieces])
