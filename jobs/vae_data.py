"""Pictures and sound to train the autoencoders on: films and generated films, decoded once.

A reel is the decoded material of one film (or of many generated ones of one size) in a cache
folder: pixels in a memory map, sound beside it, and which spans were held out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curation.files import atomic, fingerprint
from curation.media import MediaReader
from curation.progress import progress, say
from curation.records import RejectedError
from curation.world.config import WorldConfig
from curation.world.film import make_clean_film
from jobs.config import RecipeError

SIDE = 128  # short side of cached films: crops of 64 and 96 come from the same pixels
RATE = 16_000
PIECE_S = 20.0  # seconds decoded at once: 140 MB at 128x228 and 24 fps
HELD_OUT_S, EVERY = 60.0, 5  # of every five minutes the third is never trained on
ENDINGS = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".mpg"}

WORLD_SECONDS = 4.125
SEED = 7_000  # of the films that are trained on
WORLD_VARIED = {
    "shapes": ("ball", "square", "triangle", "star"),
    "colours": ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white"),
    "motions": ("fall", "throw", "appear", "collide"),
    "backgrounds": ("plain", "gradient", "texture", "stripes"),
    "objects": (1, 4),
    "shots": (1, 2),
    "radius": (0.06, 0.16),
    "pan": 0.4,
    "occluder": 0.1,
    "off_screen": 0.2,
    "music": 0.2,
}


@dataclass(frozen=True)
class Reel:
    """Decoded material: pixels uint8 [N,H,W,3], sound float [S] at 16 kHz, and its spans."""

    name: str
    pixels: NDArray[np.uint8]
    sound: NDArray[np.float16]
    fps: float
    real: bool
    train: list[tuple[int, int]]  # spans of frames
    held: list[tuple[int, int]]

    def sound_of(self, span: tuple[int, int]) -> NDArray[np.float16]:
        """The sound under a span of frames."""
        return self.sound[round(span[0] / self.fps * RATE) : round(span[1] / self.fps * RATE)]


def gather(films: Path | None, cache: Path, world_films: int) -> list[Reel]:
    """The reels of a folder of films and of the world, made where the cache lacks them."""
    reels = [
        world_reel(cache, side, fps, varied, world_films)
        for side, fps, varied in ((64, 8.0, False), (64, 8.0, True), (128, 12.0, True))
    ]
    if films is None:
        return reels
    paths = sorted(p for p in films.rglob("*") if p.suffix.lower() in ENDINGS)
    if not paths:
        raise RecipeError(f"{films} holds no films ({', '.join(sorted(ENDINGS))})")
    with MediaReader() as reader:
        for path in paths:
            try:
                reels.append(film_reel(cache, path, reader))
            except RejectedError as error:
                say(f"skipped {path.name}: {error}")
    return reels


def film_reel(cache: Path, path: Path, reader: MediaReader) -> Reel:
    """Decode a film once at its own rate. Raises RejectedError for a film that cannot be read."""
    probe = reader.probe(path)
    name = f"film-{fingerprint([path.name, path.stat().st_size, SIDE])}"
    picture, sound = cache / f"{name}.pixels.npy", cache / f"{name}.sound.npy"
    if not sound.is_file():
        seconds = probe.seconds
        pieces, sounds = [], []
        with progress(path.name[:20], int(seconds), "seconds") as advance:
            for start in np.arange(0, seconds, PIECE_S):
                end = min(start + PIECE_S, seconds)
                pixels = reader.frames(path, short_side=SIDE, start=start, end=end).pixels
                height, width = (side // 8 * 8 for side in pixels.shape[1:3])
                pieces.append(pixels[:, :height, :width])
                if probe.audio:
                    heard = reader.sound(path, rate=RATE, start=start, end=end, mono=True)
                    sounds.append(heard.samples[0].astype(np.float16))
                advance(int(end - start))
        save_array(picture, np.concatenate(pieces))
        save_array(sound, np.concatenate(sounds) if sounds else np.zeros(0, np.float16))
    pixels = np.load(picture, mmap_mode="r")
    train, held = split(len(pixels), len(pixels) / max(probe.seconds, 1e-6))
    fps = len(pixels) / max(probe.seconds, 1e-6)
    return Reel(path.name, pixels, np.load(sound, mmap_mode="r"), fps, True, train, held)


def split(frames: int, fps: float) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Spans to train on and spans held out; a film shorter than three minutes is all training."""
    minute = round(HELD_OUT_S * fps)
    train: list[tuple[int, int]] = []
    held: list[tuple[int, int]] = []
    for number, start in enumerate(range(0, frames, minute)):
        span = (start, min(start + minute, frames))
        (held if number % EVERY == EVERY // 2 else train).append(span)
    return train, held


def world_reel(
    cache: Path, side: int, fps: float, varied: bool, films: int, seed: int = SEED
) -> Reel:
    """Generated films of one size, one after another; the last tenth is held out."""
    config = world_config(side, fps, varied, seed)
    name = f"world-{config.fingerprint()}-{films}"
    picture, sound = cache / f"{name}.pixels.npy", cache / f"{name}.sound.npy"
    if not sound.is_file():
        pixels, sounds = [], []
        with progress(f"world {side}px", films, "films") as advance:
            for index in range(films):
                film = make_clean_film(config, index)
                pixels.append(film.pixels)
                sounds.append(film.samples[0].astype(np.float16))
                advance()
        save_array(picture, np.concatenate(pixels))
        save_array(sound, np.concatenate(sounds))
    frames = np.load(picture, mmap_mode="r")
    each = len(frames) // films
    spans = [(k * each, (k + 1) * each) for k in range(films)]
    cut = films - max(1, films // 10)
    samples = np.load(sound, mmap_mode="r")
    label = f"world {side}" + (" varied" if varied else "")
    return Reel(label, frames, samples, fps, False, spans[:cut], spans[cut:])


def world_config(side: int, fps: float, varied: bool, seed: int = SEED) -> WorldConfig:
    """The settings of the films that the autoencoders learn; another seed gives unseen ones."""
    extra = WORLD_VARIED if varied else {"colours": WORLD_VARIED["colours"]}
    return WorldConfig(
        seed=seed,
        height=side,
        width=side,
        fps=fps,
        seconds=(WORLD_SECONDS, WORLD_SECONDS),
        **extra,
    )


def save_array(path: Path, values: NDArray[np.generic]) -> None:
    """Write one array to the cache atomically."""
    with atomic(path) as temp, temp.open("wb") as handle:
        np.save(handle, values)


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 [N,H,W,3] to float [3,N,H,W] in −1…1."""
    return torch.from_numpy(np.array(pixels)).permute(3, 0, 1, 2).float() / 127.5 - 1


def held_out_clips(reel: Reel, frames: int, fps: float, limit: int) -> Iterator[Tensor]:
    """Evenly spread clips [3,frames,H,W] of what was never trained on, at about `fps`."""
    step = max(1, round(reel.fps / fps))
    need = (frames - 1) * step + 1
    starts = [
        start
        for first, end in reel.held
        for start in range(first, end - need + 1, max(need, (end - first) // 30))
    ]
    chosen = np.linspace(0, len(starts) - 1, min(limit, len(starts))).round().astype(int)
    for start in (starts[place] for place in chosen):
        yield to_tensor(reel.pixels[start : start + need : step])
