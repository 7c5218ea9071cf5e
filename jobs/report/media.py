"""Media inside the page: clips, picture strips and spectrograms as data: URIs, by a budget."""

import base64
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import librosa
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from curation.media import MediaReader
from curation.media_write import write_clip
from curation.records import RejectedError
from jobs.report.charts import waveform

BUDGET_BYTES = 24 << 20  # of all media; a page above some 40 MB opens slowly
SHORT_SIDE = 144
CRF = 28
STRIP_FRAMES = 8
STRIP_HEIGHT = 84
LONGEST_S = 6.0  # of a clip that is shown; the rest of it is not
RATE = 16_000
FLOOR_DB = -70.0


@dataclass
class Budget:
    """How many bytes of media the page may still take; what did not fit is counted and said."""

    left: int = BUDGET_BYTES
    refused: int = 0

    def uri(self, kind: str, data: bytes) -> str:
        """A data: URI, or nothing when the budget is used up."""
        if len(data) * 4 // 3 > self.left:
            self.refused += 1
            return ""
        self.left -= len(data) * 4 // 3
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@dataclass
class Shown:
    """One clip as the page shows it; `trouble` says why there is no picture."""

    video: str = ""
    strip: str = ""
    wave: Markup = field(default_factory=Markup)
    spectrogram: str = ""
    trouble: str = ""


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
    reader: MediaReader, path: Path, start: float = 0.0, end: float | None = None, side: int = 0
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


def show_span(reader: MediaReader, budget: Budget, path: Path, start: float, end: float) -> Shown:
    """A span of a source as a small clip of its own."""
    try:
        film = read_film(reader, path, start, end, SHORT_SIDE)
        with tempfile.TemporaryDirectory() as folder:
            small = Path(folder) / "clip.mp4"
            write_clip(small, film.pixels, film.fps, film.samples, RATE, crf=CRF)
            return show(budget, film, small.read_bytes())
    except RejectedError as error:
        return Shown(trouble=str(error))


def show(
    budget: Budget, film: Film, data: bytes, marks: dict[str, NDArray[np.float64]] | None = None
) -> Shown:
    """A decoded clip and its mp4 bytes as the page shows them."""
    shown = Shown(video=budget.uri("video/mp4", data), strip=budget.uri("image/jpeg", strip(film)))
    if film.samples is not None and film.samples.size:
        shown.wave = waveform(film.samples[0], film.seconds, marks or {})
        shown.spectrogram = budget.uri("image/png", spectrogram(film.samples[0], RATE))
    if not shown.video:
        shown.trouble = "left out: the page's media budget is used up"
    return shown


def strip(film: Film) -> bytes:
    """Frames at equal distances side by side, as JPEG."""
    chosen = np.linspace(0, len(film.pixels) - 1, min(STRIP_FRAMES, len(film.pixels))).round()
    row = np.concatenate(list(film.pixels[chosen.astype(int)]), axis=1)
    width = max(1, round(row.shape[1] * STRIP_HEIGHT / row.shape[0]))
    how = cv2.INTER_AREA if row.shape[0] > STRIP_HEIGHT else cv2.INTER_CUBIC
    small = cv2.resize(row, (width, STRIP_HEIGHT), interpolation=how)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return data.tobytes()


def spectrogram(samples: NDArray[np.float32], rate: int, width: int = 320) -> bytes:
    """Mel spectrogram, low tones below, as PNG."""
    hop = max(64, samples.size // width)
    mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=1024, hop_length=hop, n_mels=64)
    level = 10 * np.log10(np.maximum(mel, 1e-12) / max(float(mel.max()), 1e-9))
    grey = np.clip((level - FLOOR_DB) / -FLOOR_DB, 0, 1) * 255
    colour = cv2.applyColorMap(grey[::-1].astype(np.uint8), cv2.COLORMAP_MAGMA)
    _, data = cv2.imencode(".png", colour)
    return data.tobytes()
