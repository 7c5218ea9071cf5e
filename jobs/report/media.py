"""Media inside the page: clips, frames and the sound's picture as data: URIs, by a budget."""

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import librosa
import numpy as np
from numpy.typing import NDArray

from curation.media import MediaReader
from curation.records import RejectedError
from jobs.pictures import ACROSS, waveform, webp

BUDGET_BYTES = 32 << 20  # of all media as text; with the rest the page stays below 40 MB
LONGEST_S = 6.0  # of a clip that is shown; the rest of it is not
RATE = 16_000
FLOOR_DB = -70.0
LOUD = 1e-5  # power of a mel band: what is quieter everywhere (-90 dBFS) stays dark
MEL = 64  # pixels: height of the spectrogram
MARKS = {"impact": (90, 110, 240), "onset": (60, 180, 250)}  # BGR


@dataclass
class Budget:
    """How many bytes of media the page may still take; what did not fit is counted and said."""

    left: int = BUDGET_BYTES
    refused: int = 0

    def uri(self, kind: str, data: bytes) -> str:
        """A data: URI, or nothing when the budget is used up or there is no data."""
        if not data:
            return ""
        if len(data) * 4 // 3 > self.left:
            self.refused += 1
            return ""
        self.left -= len(data) * 4 // 3
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@dataclass
class Shown:
    """One clip as the page shows it; `trouble` says why there is no picture."""

    video: str = ""
    poster: str = ""
    strip: str = ""
    sound: str = ""
    seconds: float = 0.0
    trouble: str = ""


@dataclass(frozen=True)
class Preview:
    """A clip made small: mp4, first frame and strip as JPEG, sound as WebP (empty without one)."""

    video: bytes
    poster: bytes
    frames: bytes
    sound: bytes
    seconds: float


@dataclass(frozen=True)
class Film:
    """Decoded clip: pixels uint8 [N,H,W,3], samples float32 [1,S] or None."""

    pixels: NDArray[np.uint8]
    fps: float
    samples: NDArray[np.float32] | None

    @property
    def seconds(self) -> float:
        """Length of the picture."""
        return len(self.pixels) / self.fps


def read_film(
    reader: MediaReader,
    path: str | Path,
    start: float = 0.0,
    end: float | None = None,
    side: int = 0,
) -> Film:
    """Decode a span; `side` > 0 shrinks the short side to it. Raises RejectedError."""
    probe = reader.probe(path)
    if end is not None:
        end = min(end, start + LONGEST_S)
    short = None
    if side and probe.video and min(probe.video.height, probe.video.width) > side:
        short = side
    frames = reader.frames(path, short_side=short, start=start, end=end)
    fps = frame_rate(frames.times, probe.video.fps if probe.video else 0.0)
    samples = None
    if probe.audio:
        samples = reader.sound(path, rate=RATE, start=start, end=end, mono=True).samples
    return Film(even(frames.pixels), fps, samples)


def frame_rate(times: NDArray[np.float64], header: float) -> float:
    """Frames a second as they come, which is what a constant-rate copy needs."""
    if len(times) > 1 and times[-1] > times[0]:
        return float((len(times) - 1) / (times[-1] - times[0]))
    return header or 1.0


def even(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without the last odd row and column, which 4:2:0 cannot hold."""
    _, H, W, _ = pixels.shape
    return pixels[:, : H // 2 * 2, : W // 2 * 2]


def show(budget: Budget, made: Preview | RejectedError) -> Shown:
    """A preview as the page shows it: pictures before the clip, which is what a budget runs out on.

    A page that has a clip's frames, sound and numbers still says why it was dropped.
    """
    if isinstance(made, RejectedError):
        return Shown(trouble=str(made))
    shown = Shown(
        strip=budget.uri("image/jpeg", made.frames),
        sound=budget.uri("image/webp", made.sound),
        poster=budget.uri("image/jpeg", made.poster),
        video=budget.uri("video/mp4", made.video),
        seconds=made.seconds,
    )
    if not shown.video:
        shown.trouble = "the clip is left out: the page's media budget is used up"
    return shown


def sound_picture(
    samples: NDArray[np.float32],
    seconds: float,
    marks: dict[str, NDArray[np.float64]] | None = None,
    rate: int = RATE,
) -> bytes:
    """Waveform above log-mel spectrogram (low tones below) of samples [S] on one clock, as WebP.


    The clock is the picture's: sound that ends earlier leaves the rest dark. `marks` are times in
    seconds by a name of MARKS.
    """
    wave = waveform(samples, seconds, rate)
    for kind, times in (marks or {}).items():
        for time in times:
            x = int(np.clip(time / seconds * ACROSS, 0, ACROSS - 1))
            wave[:, x : x + 2] = MARKS[kind]
    return webp(np.concatenate([wave, spectrogram(samples, seconds, rate)]))


def spectrogram(samples: NDArray[np.float32], seconds: float, rate: int) -> NDArray[np.uint8]:
    """Mel spectrogram in dB below its largest value, as BGR [MEL,ACROSS,3]."""
    whole = np.zeros(max(1024, round(seconds * rate)), np.float32)
    whole[: samples.size] = samples[: whole.size]
    hop = max(64, whole.size // ACROSS)
    mel = librosa.feature.melspectrogram(y=whole, sr=rate, n_fft=1024, hop_length=hop, n_mels=MEL)
    level = 10 * np.log10(np.maximum(mel, 1e-12) / max(float(mel.max()), LOUD))
    grey = (np.clip((level - FLOOR_DB) / -FLOOR_DB, 0, 1) * 255).astype(np.uint8)
    colour = cv2.applyColorMap(np.ascontiguousarray(grey[::-1]), cv2.COLORMAP_MAGMA)
    scaled: NDArray[np.uint8] = cv2.resize(colour, (ACROSS, MEL), interpolation=cv2.INTER_AREA)
    return scaled
