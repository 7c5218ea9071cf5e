"""The process that decodes. Run by `curation.media_guard` as `python -m curation.media_child`.

It holds the film opened last, so that reading in pieces does not open it again, and answers one
request at a time: `open` (with the file's descriptor), `ranges`, `keyframes`, `frames`, `sound`
(choose and count), `fill` (write into memory that the reader made, after it agreed to the size).
"""

import ctypes
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import av
import numpy as np

from curation import media_index, media_wire
from curation.media_picture import AvPictures, DecordPictures, Shape, shape_for
from curation.media_ranges import byte_ranges
from curation.media_sound import SoundTrack
from curation.records import Reason, RejectedError

PR_SET_PDEATHSIG = 1
FEW = 2  # pictures that are not worth a decoder of their own


class Film:
    """One open file and whatever was opened on it so far."""

    def __init__(
        self, descriptor: int, container: str, limits: dict[str, Any], part: bool = False
    ) -> None:
        self.descriptor, self.kind, self.limits = descriptor, container, limits
        self.part = part  # it has holes, of which demuxers complain and decoders must not
        self.picture: media_index.Picture | None = None
        self.track: media_index.Track | None = None
        self.seconds = 0.0
        with media_index.open_container(descriptor, container, limits) as opened:
            self._read_header(opened)
        self._clock: media_index.Clock | None = None
        self._pictures: Any = None
        self._shape: Shape | None = None
        self._few: tuple[Shape, AvPictures] | None = None
        self._sound: SoundTrack | None = None
        self.fill: Callable[[np.ndarray], None] | None = None
        if not self.seconds:
            self.seconds = self.clock.end

    def _read_header(self, opened: Any) -> None:  # noqa: ANN401 - an av container
        media_index.check_header(opened, self.limits)
        self.seconds = media_index.declared_seconds(opened, self.kind)
        video, audio = media_index.picture_stream(opened), media_index.sound_stream(opened)
        if video is None and audio is None:
            raise RejectedError(Reason.CORRUPT, "neither picture nor sound")
        if video is not None:
            self.picture = media_index.describe(video, media_index.rotation_of(opened, video))
        if audio is not None:
            self.track = media_index.describe_sound(audio)

    def close(self) -> None:
        """Free decoders and the file now; the fill that refers back here would keep them."""
        self.fill = self._pictures = self._sound = self._few = None
        os.close(self.descriptor)

    @property
    def clock(self) -> media_index.Clock:
        """Frame times; read at first use."""
        if self._clock is None:
            quiet = media_index.complaints()
            opened = media_index.open_container(self.descriptor, self.kind, self.limits)
            with opened, media_index.silence(self.part):
                clock = media_index.read_clock(opened, self.limits)
            media_index.check_quiet(quiet, "reading packets")
            self._clock = clock
        return self._clock

    def ranges(self, request: dict[str, Any]) -> dict[str, Any]:
        """The bytes that hold some spans, null where only all of them will do."""
        with media_index.open_container(self.descriptor, self.kind, self.limits) as opened:
            return {"ranges": byte_ranges(opened, request["spans"])}

    def frames(self, request: dict[str, Any]) -> dict[str, Any]:
        """Choose frames; answers their number and size."""
        if self.picture is None:
            raise RejectedError(Reason.NO_VIDEO)
        shape = shape_for(self.picture, request["short_side"], request["size"], request["crop"])
        media_index.check_pixels(*shape.scaled, 1, self.limits)
        wanted = chosen(self.clock, request)
        self.fill = lambda out: self._fill_frames(wanted, shape, out)
        return {"count": len(wanted), "height": shape.out[0], "width": shape.out[1]}

    def keyframes(self, request: dict[str, Any]) -> dict[str, Any]:
        """The last keyframe shown at or before each of the times, null where there is none."""
        if self.picture is None:
            raise RejectedError(Reason.NO_VIDEO)
        clock = self.clock
        places = np.searchsorted(clock.stamps, clock.keys[:, 0])
        places = places[places < len(clock.times)]
        keys = np.unique(clock.times[places])
        found = np.searchsorted(keys, np.asarray(request["times"], np.float64) + 1e-6, "right") - 1
        return {"times": [float(keys[i]) if i >= 0 else None for i in found]}

    def sound(self, request: dict[str, Any]) -> dict[str, Any]:
        """Choose samples; answers their number and channels."""
        if self.track is None:
            raise RejectedError(Reason.NO_AUDIO)
        rate, clock, track = request["rate"], self.clock, self.track
        end = clock.end if request["end"] is None else request["end"]
        first = round(request["start"] * rate)
        count = max(0, round(end * rate) - first)
        channels = 1 if request["mono"] else track.channels

        def fill(out: np.ndarray) -> None:
            if self._sound is None:
                self._sound = SoundTrack(self.descriptor, self.kind, track, clock, self.limits)
            self._sound.resampled(first, out.view(np.float32).reshape(channels, count), rate)

        self.fill = fill
        return {"count": count, "channels": channels, "start": first / rate}

    def _fill_frames(self, wanted: np.ndarray, shape: Shape, out: np.ndarray) -> None:
        count = len(wanted)
        out[: 8 * count].view(np.float64)[:] = self.clock.times[wanted]
        pixels = out[8 * count :].reshape(count, *shape.out, 3)
        unique, places = np.unique(wanted, return_inverse=True)
        order = np.argsort(places, kind="stable")
        bounds = np.searchsorted(places[order], np.arange(len(unique) + 1))

        def deliver(position: int, frame: np.ndarray) -> None:
            pixels[order[bounds[position] : bounds[position + 1]]] = frame

        assert self.picture is not None
        if len(unique) <= FEW and self._shape != shape:
            # One picture of another size: PyAV opens in no time, decord reads the whole file and
            # its second reader of a ten-minute film met the limit of 2 GB.
            if self._few is None or self._few[0] != shape:
                self._few = shape, self._exact(shape)
            self._few[1].read(unique, deliver)
            return
        if self._pictures is None or self._shape != shape:
            self._shape, self._pictures = shape, None  # two open at once meet the memory limit
            self._pictures = DecordPictures.open(
                self.descriptor, self.kind, self.picture, self.clock, shape, self.part
            ) or self._exact(shape)
        if not self._pictures.read(unique, deliver):
            self._pictures = self._exact(shape)
            self._pictures.read(unique, deliver)

    def _exact(self, shape: Shape) -> AvPictures:
        assert self.picture is not None
        return AvPictures(self.descriptor, self.kind, self.picture, self.clock, shape, self.limits)


def chosen(clock: media_index.Clock, request: dict[str, Any]) -> np.ndarray:
    """Numbers of the frames that a request asks for, int64 [N]."""
    slack = clock.tick / 2 + 1e-6  # a time that was rounded to a tick is still that frame's time
    if request["times"] is not None:
        asked = np.asarray(request["times"], np.float64)
        if len(asked) and asked.max() > clock.end + slack:
            detail = f"asked for {asked.max():.3f} s, the film ends at {clock.end:.3f} s"
            raise RejectedError(Reason.TOO_SHORT, detail)
        return np.maximum(np.searchsorted(clock.times, asked + slack, "right") - 1, 0)
    end = np.inf if request["end"] is None else request["end"]
    first, stop = np.searchsorted(clock.times, [request["start"] - slack, end - slack], "left")
    return np.arange(first, stop)


def answer(film: Film | None, request: dict[str, Any], descriptors: list[int]) -> tuple[Any, Any]:
    """(film, reply) of one request."""
    name = request["do"]
    if name == "open":
        film = Film(descriptors[0], request["container"], request["limits"], request["part"])
        facts = {
            "seconds": film.seconds,
            "video": asdict(film.picture) if film.picture else None,
            "audio": asdict(film.track) if film.track else None,
        }
        return film, facts
    assert film is not None
    if name == "frames":
        return film, film.frames(request)
    if name == "sound":
        return film, film.sound(request)
    if name == "keyframes":
        return film, film.keyframes(request)
    if name == "ranges":
        return film, film.ranges(request)
    assert film.fill is not None
    if request["bytes"]:
        # Closed by its last user: an error's traceback may still hold the array here.
        film.fill(np.frombuffer(mmap.mmap(descriptors[0], request["bytes"]), np.uint8))
    return film, {}


def serve(link: socket.socket) -> None:
    """Answer until the reader is gone."""
    film: Film | None = None
    while True:
        try:
            request, descriptors = media_wire.receive(link)
        except EOFError:
            return
        if request["do"] == "open":
            if film is not None:
                film.close()
            film = None
        try:
            film, reply = answer(film, request, descriptors)
        except RejectedError as error:
            if error.reason == Reason.CORRUPT and media_index.too_large():
                error = RejectedError(Reason.TOO_MANY_PIXELS, error.detail)
            reply = {"reason": error.reason, "detail": error.detail}
        except MemoryError:
            reply = {"reason": Reason.MEMORY_LIMIT, "detail": request["do"]}
        except av.error.FFmpegError as error:
            reply = {"reason": Reason.CORRUPT, "detail": f"{request['do']}: {error.strerror}"}
        if request["do"] != "open" or film is None:
            for descriptor in descriptors:
                os.close(descriptor)
        media_wire.send(link, reply)


def main() -> None:
    """Entry point: argv is the link's descriptor and the reader's process id."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        return
    av.logging.restore_default_callback()  # decoders complain on standard error, where we count
    av.logging.set_libav_level(media_index.LEVEL)
    serve(socket.socket(fileno=descriptor))


if __name__ == "__main__":
    main()
