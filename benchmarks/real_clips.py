"""The sample films of jobs/samples.py cut into parts, and clips of them damaged in known ways.

Letters: N frames, H W pixels, S samples.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import signal

from curation.media import MediaReader
from curation.media_write import write_clip
from jobs.report.media import even, frame_rate

RATE = 16_000
CRF = 18  # of every clip, damaged or not: coding is no part of a difference
LEAST_S = 2.2  # of a part

Pixels = NDArray[np.uint8]
Samples = NDArray[np.float32]
Cut = tuple[Pixels, float, Samples]  # pixels [N,H,W,3], frames a second, sound [channels,S]


def read(reader: MediaReader, path: Path, start: float, end: float, side: int) -> Cut:
    """A span of a film at a short side of `side`. Raises RejectedError."""
    frames = reader.frames(path, short_side=side, start=start, end=end)
    fps = frame_rate(frames.times, 0.0)
    sound = reader.sound(path, RATE, start, start + len(frames.times) / fps, mono=True)
    return even(frames.pixels), fps, sound.samples


def parts(films: list[Path], folder: Path, seconds: float, side: int) -> list[Path]:
    """Films cut into films of `seconds`, so that some can be held out; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    with MediaReader() as reader:
        for film in films:
            length = reader.probe(film).seconds
            for start in np.arange(0, length - LEAST_S, seconds):
                part = folder / f"{film.stem}-{round(start):03d}.mp4"
                found.append(part)
                if not part.is_file():
                    end = min(start + seconds, length)
                    pixels, fps, sound = read(reader, film, float(start), float(end), side)
                    write_clip(part, pixels, fps, sound, RATE, CRF)
    return found


def late(cut: Cut, seconds: float) -> Cut:
    """The sound behind by so much; what falls out at the end fills the beginning."""
    pixels, fps, sound = cut
    return pixels, fps, np.roll(sound, round(seconds * RATE), axis=1)


def blurred(cut: Cut, sigma: float) -> Cut:
    """Every frame through a Gaussian of so many pixels."""
    pixels, fps, sound = cut
    return np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in pixels]), fps, sound


def grainy(cut: Cut, sigma: float) -> Cut:
    """White noise of so many levels in every frame."""
    pixels, fps, sound = cut
    rng = np.random.default_rng(0)
    made = [np.clip(p + rng.normal(0, sigma, p.shape), 0, 255).astype(np.uint8) for p in pixels]
    return np.stack(made), fps, sound


def held(cut: Cut, seconds: float) -> Cut:
    """The picture stands still for so long, then jumps."""
    pixels, fps, sound = cut
    step = max(1, round(seconds * fps))
    return pixels[np.arange(len(pixels)) // step * step], fps, sound


def hissing(cut: Cut, ratio_db: float) -> Cut:
    """White noise this far below the level of the sound."""
    pixels, fps, sound = cut
    level = float(np.sqrt(np.square(sound).mean())) * 10 ** (-ratio_db / 20)
    noise = np.random.default_rng(0).normal(0, max(level, 1e-4), sound.shape)
    return pixels, fps, (sound + noise).clip(-1, 1).astype(np.float32)


def dull(cut: Cut, hz: float) -> Cut:
    """The sound without what lies above."""
    pixels, fps, sound = cut
    low = signal.butter(8, hz, fs=RATE, output="sos")
    return pixels, fps, signal.sosfiltfilt(low, sound, axis=1).astype(np.float32)


def with_sound(cut: Cut, other: Cut) -> Cut:
    """The picture of one and the sound of another, as long as the picture's own."""
    pixels, fps, sound = cut
    return pixels, fps, np.resize(other[2], sound.shape)


DAMAGE: dict[str, Callable[[Cut], Cut]] = {
    "blurred, 4 px": lambda cut: blurred(cut, 4),
    "noisy, 20 levels": lambda cut: grainy(cut, 20),
    "picture held 0.5 s": lambda cut: held(cut, 0.5),
    "sound 0.4 s late": lambda cut: late(cut, 0.4),
    "hiss, 10 dB below": lambda cut: hissing(cut, 10),
    "low-passed, 1 kHz": lambda cut: dull(cut, 1000),
}
SWAPPED = "sounds swapped"


def sets(
    reader: MediaReader, spans: list[tuple[Path, float, float]], folder: Path, side: int
) -> dict[str, Path]:
    """Folders of the same clips: `real`, each damage, and sounds taken from the next clip."""
    cuts = [read(reader, path, start, end, side) for path, start, end in spans]
    moved = [with_sound(cut, cuts[(n + 1) % len(cuts)]) for n, cut in enumerate(cuts)]
    made = {"real": cuts, SWAPPED: moved}
    made |= {name: [work(cut) for cut in cuts] for name, work in DAMAGE.items()}
    found = {}
    for name, clips in made.items():
        found[name] = folder / name.replace(",", "").replace(" ", "-")
        found[name].mkdir(parents=True, exist_ok=True)
        for (path, start, _), (pixels, fps, sound) in zip(spans, clips, strict=True):
            write_clip(
                found[name] / f"{path.stem}-{start:03.0f}.mp4", pixels, fps, sound, RATE, CRF
            )
    return found
