"""World films at three sizes, as they are and through the embedded autoencoders."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from curation.world.config import WorldConfig
from curation.world.film import Film, make_film
from jobs.proving.measures import Reading, read
from jobs.proving.truth import Truth, expected
from model.vae import load_audio_vae, load_video_vae

WORLD = WorldConfig(
    seed=907,
    radius=(0.2, 0.2),  # the demo's object, in all shapes and both ways of motion
    gravity=2.5,
    shapes=("ball", "square", "triangle", "star"),
    motions=("fall", "throw"),
)
FILMS = {64: 12, 32: 6, 128: 2}  # by size


@dataclass(frozen=True)
class Known:
    """Films with their truths; what is read from them; the same once they were coded."""

    films: list[Film]
    truths: list[Truth]
    readings: list[Reading]
    coded: list[Film]


@torch.no_grad()
def code(film: Film) -> Film:
    """A film through the embedded autoencoders and back: what a perfect generator gives."""
    video, audio = load_video_vae(), load_audio_vae()
    pixels = torch.from_numpy(film.pixels).permute(3, 0, 1, 2)[None] / 127.5 - 1
    back = video.decode(video.encode(pixels))[0].permute(1, 2, 3, 0)
    sound = torch.from_numpy(film.samples)[None]
    heard = audio.decode(audio.encode(sound), samples=sound.shape[-1])[0].numpy()
    shown = ((back + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    return replace(film, pixels=shown, samples=heard)


def read_films(films: list[Film]) -> list[Reading]:
    return [read(film.pixels, film.fps, film.samples, film.rate) for film in films]


@pytest.fixture(scope="session")
def known() -> dict[int, Known]:
    found = {}
    for size, count in FILMS.items():
        world = WORLD.model_copy(update={"height": size, "width": size, "seed": WORLD.seed + size})
        films = [make_film(world, number) for number in range(count)]
        truths = [expected(film.truth) for film in films]
        found[size] = Known(films, truths, read_films(films), [code(film) for film in films])
    return found


@pytest.fixture(scope="session")
def share():
    """Mean of a measure over truths and readings; another reading may be the one heard."""

    def mean(measure, truths, seen, heard=None) -> float:
        clips = zip(truths, seen, heard or seen, strict=True)
        return float(np.mean([number for one in clips for number in measure(*one)]))

    return mean
