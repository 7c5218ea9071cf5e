"""Generated films whose impacts sound, decoded: what the metrics are perturbed on."""

from pathlib import Path

import numpy as np
import pytest

from curation.world.config import WorldConfig
from curation.world.film import make_film
from jobs.evaluating.clips import Clip, Watched

WORLD = WorldConfig(
    seed=5,
    fps=16,
    height=64,
    width=64,
    seconds=(3, 3),
    motions=("fall", "throw"),
    colours=("red", "yellow", "green", "blue"),
    shapes=("ball", "square"),
)


def watched(film):
    pixels = film.pixels
    times = np.arange(len(pixels)) / film.fps
    sound = film.samples.mean(axis=0).astype(np.float32)
    return Watched(Clip(Path("clip.mp4")), pixels, times, film.fps, sound)


@pytest.fixture(scope="session")
def world():
    """Eight films."""
    return [watched(make_film(WORLD, index)) for index in range(8)]
