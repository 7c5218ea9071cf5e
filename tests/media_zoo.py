"""Films whose every frame and sample is known: the frame number is painted in each picture.

All are made here with PyAV, the same bytes each time; nothing binary is kept in git.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 10  # vertical bars, black or white: survives scaling to a few pixels a bar
RATE = 48_000


@dataclass(frozen=True)
class Spec:
    """How a film of the zoo is made."""

    name: str  # with its suffix
    codec: str | None = "libx264"
    frames: int = 60
    size: tuple[int, int] = (160, 90)  # width, height
    fps: Fraction = Fraction(24)
    options: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"
    stamps: Sequence[int] | None = None  # frame times in 1/fps; None: 0, 1, 2...
    rotation: int = 0
    sound: str | None = None
    rate: int = RATE
    channels: int = 2
    sound_s: float = 2.5
    sound_at: float = 0.0  # seconds after the first picture
    hole: tuple[float, float] | None = None  # a span of sound that is left out

    @property
    def times(self) -> np.ndarray:
        """Frame times in seconds from the first picture."""
        stamps = self.stamps if self.stamps is not None else range(self.frames)
        return np.array([float(s / self.fps) for s in stamps]) - float(
            (self.stamps[0] if self.stamps is not None else 0) / self.fps
        )


VFR = [0, 1, 2, 6, 7, 8, 9, 15, *range(20, 40), *range(41, 81, 2), *range(90, 102)]
B_FRAMES = {"bf": "3", "g": "24", "preset": "veryfast"}
OPEN = "open-gop=1:keyint=24:min-keyint=1:scenecut=0:"
PICTURES = [
    Spec("b_frames.mp4", options=B_FRAMES),
    Spec("open_gop.mp4", options={"bf": "3", "x264-params": OPEN + "b-adapt=0"}),
    Spec("open_hevc.mp4", "libx265", options={"x265-params": OPEN + "log-level=none"}),
    Spec("ntsc.mp4", fps=Fraction(30000, 1001), options=B_FRAMES),
    Spec("h264.mkv", options=B_FRAMES),
    Spec("hevc.mp4", "libx265", options={"preset": "ultrafast", "x265-params": "log-level=none"}),
    Spec("vp9.webm", "libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    Spec("vp8.webm", "libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "16"}),
    Spec("av1.mp4", "libsvtav1", options={"preset": "9"}),
    Spec("vfr.mp4", frames=len(VFR), stamps=VFR, options=B_FRAMES),
    Spec("vfr.mkv", frames=len(VFR), stamps=VFR, options=B_FRAMES),
    Spec("rotated.mp4", size=(180, 100), rotation=90, options=B_FRAMES),
    Spec("upside_down.mp4", rotation=180, options=B_FRAMES),
    Spec("odd.mp4", size=(161, 91), pixels="yuv444p", options=B_FRAMES),
    Spec("ten_bit.mp4", pixels="yuv420p10le", options=B_FRAMES),
    Spec("film.avi", "mpeg4", options={"g": "12"}),
    Spec("b_frames.avi", "mpeg4", options={"g": "12", "bf": "2"}),
    Spec("film.ts", options=B_FRAMES),
    Spec("film.mpg", "mpeg2video", fps=Fraction(25), options={"g": "12", "bf": "2"}),
    Spec("film.flv", "flv1", size=(160, 96)),
    Spec("late.mkv", stamps=range(36, 96), options=B_FRAMES),
]
EDITED = "edit_list.mp4"
SOUNDS = [
    Spec("aac.mp4", sound="aac"),
    Spec("aac44.mp4", sound="aac", rate=44_100, channels=1),
    Spec("aac_late.mp4", sound="aac", sound_at=0.5, sound_s=1.5),
    Spec("aac.mkv", sound="aac"),
    Spec("aac.ts", sound="aac"),
    Spec(
        "opus.webm",
        "libvpx-vp9",
        options={"cpu-used": "8", "deadline": "realtime"},
        sound="libopus",
    ),
    Spec("opus.mp4", sound="libopus"),
    Spec("flac.mkv", sound="flac"),
    Spec("pcm.mov", sound="pcm_s16le"),
    Spec("pcm24.mov", sound="pcm_s24le", rate=44_100),
    Spec("pcm.avi", "mpeg4", sound="pcm_s16le"),
    Spec("mp3.mp4", sound="libmp3lame", rate=44_100),
    Spec("sound.wav", None, sound="pcm_s16le"),
    Spec("sound.flac", None, sound="flac"),
    Spec("sound.mp3", None, sound="libmp3lame", rate=44_100),
    Spec("sound.ogg", None, sound="libopus"),
    Spec("sound.m4a", None, sound="aac"),
    Spec("hole.mkv", sound="pcm_s16le", hole=(1.0, 1.6)),
    Spec("hole.mp4", sound="aac", hole=(1.024, 1.536)),
]


def paint(number: int, size: tuple[int, int]) -> np.ndarray:
    """The picture of frame `number`: its bits as bars, uint8 [H,W,3]."""
    width, height = size
    bits = (number >> np.arange(BITS)[::-1]) & 1
    columns = (np.arange(width) * BITS // width).clip(0, BITS - 1)
    row = np.where(bits[columns] == 1, 235, 20).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def read_number(picture: np.ndarray) -> int:
    """The number painted in a picture [H,W,3] of any size."""
    width = picture.shape[1]
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    levels = picture[picture.shape[0] // 2, centres].mean(-1)
    return int(((levels > 127) << np.arange(BITS)[::-1]).sum())


def noise(spec: Spec) -> np.ndarray:
    """The sound of a film: noise below 5 kHz, other in each channel, float32 [C,N]."""
    count = round(spec.sound_s * spec.rate)
    spectrum = np.fft.rfft(np.random.default_rng(7).normal(size=(spec.channels, count)))
    spectrum[:, np.fft.rfftfreq(count, 1 / spec.rate) > 5_000] = 0
    wave = np.fft.irfft(spectrum, count)
    wave *= 0.5 / np.abs(wave).max()
    if spec.hole:
        first, end = (round(at * spec.rate) for at in spec.hole)
        wave[:, first:end] = 0
    return wave.astype(np.float32)


def make(spec: Spec, folder: Path) -> Path:
    """Write the film of `spec` into `folder`."""
    path = folder / spec.name
    form = {"mpg": "mpeg", "m4a": "mp4"}.get(spec.name.rpartition(".")[2])
    with av.open(str(path), "w", format=form, options={"fflags": "+bitexact"}) as out:
        video = _video_stream(out, spec) if spec.codec else None
        audio = None
        if spec.sound:
            layout = "stereo" if spec.channels == 2 else "mono"
            audio = out.add_stream(spec.sound, rate=spec.rate, layout=layout)
            audio.bit_rate = 192_000
        packets = []
        if video is not None:
            packets += _encode_video(video, spec)
        if audio is not None:
            packets += _encode_sound(audio, spec)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    return path


def make_edited(folder: Path) -> Path:
    """A clip cut out of a film without encoding: starts 9 frames into a group of pictures."""
    source = make(
        Spec("edit_source.mp4", frames=96, options=B_FRAMES, sound="aac", sound_s=4), folder
    )
    path = folder / EDITED
    with av.open(str(source)) as film, av.open(str(path), "w") as out:
        copies = {s.index: out.add_stream_from_template(s) for s in film.streams}
        for packet in film.demux():
            if packet.dts is None:
                continue
            offset = round(Fraction(33, 24) / packet.time_base)  # frame 33; its keyframe is 24
            if packet.stream.type == "video" and packet.pts * packet.time_base < Fraction(1):
                continue
            if packet.stream.type == "audio" and packet.pts < offset:
                continue
            packet.pts -= offset
            packet.dts -= offset
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
    source.unlink()
    return path


def _video_stream(out, spec):
    stream = out.add_stream(spec.codec, rate=spec.fps, options=spec.options)
    stream.width, stream.height = spec.size
    stream.pix_fmt = spec.pixels
    stream.codec_context.thread_count = 1
    stream.codec_context.time_base = 1 / spec.fps
    if spec.rotation:
        stream.set_display_rotation(spec.rotation)
    return stream


def _encode_video(stream, spec):
    packets = []
    stamps = spec.stamps if spec.stamps is not None else range(spec.frames)
    for number, stamp in enumerate(stamps):
        upright = spec.size[::-1] if spec.rotation % 180 else spec.size
        picture = np.rot90(paint(number, upright), -spec.rotation // 90)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
        frame = frame.reformat(format=spec.pixels)
        frame.pts, frame.time_base = stamp, 1 / spec.fps
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _encode_sound(stream, spec):
    packets = []
    wave = noise(spec)
    at = spec.sound_at if spec.stamps is None else spec.sound_at + float(spec.stamps[0] / spec.fps)
    resampler = av.AudioResampler(stream.codec_context.format.name, stream.layout, spec.rate)
    size = stream.codec_context.frame_size or 1024
    for first in range(0, wave.shape[1], size):
        part = np.ascontiguousarray(wave[:, first : first + size])
        frame = av.AudioFrame.from_ndarray(part, "fltp", stream.layout.name)
        frame.sample_rate = spec.rate
        frame.pts, frame.time_base = round(at * spec.rate) + first, Fraction(1, spec.rate)
        for ready in resampler.resample(frame):
            packets += stream.encode(ready)
    packets += stream.encode(None)
    if spec.hole:
        first, end = spec.hole
        inside = [p for p in packets if first <= float(p.pts * p.time_base) < end]
        packets = [p for p in packets if p not in inside]
    return packets
