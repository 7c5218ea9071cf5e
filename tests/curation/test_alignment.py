"""Onsets against impacts, on films whose truth is known."""

import cv2
import numpy as np
import pytest

from curation.alignment import Alignment, align, impacts, onsets, tracks
from curation.world.config import WorldConfig
from curation.world.film import Film, make_film

WORLD = WorldConfig()


@pytest.fixture(scope="module")
def films() -> list[Film]:
    return [make_film(WORLD, index) for index in range(16)]


def truth(film: Film) -> np.ndarray:
    return np.array([e["time"] for e in film.truth["events"] if e["kind"] == "impact"])


def measure(films: list[Film], late_s: float = 0.0) -> Alignment:
    late = round(late_s * WORLD.rate)
    clips = [
        (impacts(f.pixels, WORLD.fps), onsets(np.roll(f.samples, late, axis=1), WORLD.rate))
        for f in films
    ]
    return align(clips, 1 / WORLD.fps)


def test_impacts_are_found_where_they_happen(films):
    """An estimator that misses bounces, or sees them at the top of the flight."""
    for film in films:
        seen, real = impacts(film.pixels, WORLD.fps), truth(film)
        assert len(seen) == pytest.approx(len(real), abs=1)
        assert np.abs(seen[:, None] - real).min(axis=1).max() <= 1 / WORLD.fps


def test_onsets_are_found_within_20_ms(films):
    """An estimator that answers late, or takes the decay of a sound for another one."""
    for film in films:
        heard, real = onsets(film.samples, WORLD.rate), truth(film)
        assert len(heard) == len(real)
        assert np.abs(heard - real).max() < 0.02


def test_true_films_beat_shuffled_ones(films):
    """A measure that is high whatever the sounds are: it would praise any model."""
    found = measure(films)
    assert found.matched > 0.9
    assert found.shuffled < 0.6
    assert found.chance < 0.01
    assert found.clips == len(films)


@pytest.mark.slow
def test_shifted_sound_is_no_better_than_shuffled(films):
    """A measure blind to sound a quarter second late."""
    found = measure(films, late_s=0.25)
    assert found.matched < found.shuffled + 0.15
    assert found.matched < measure(films).matched - 0.4


def test_sounds_of_other_films_are_chance(films):
    """Sounds that belong to another film called aligned."""
    pictures = [impacts(f.pixels, WORLD.fps) for f in films]
    sounds = [onsets(f.samples, WORLD.rate) for f in films[1:] + films[:1]]
    found = align(list(zip(pictures, sounds, strict=True)), 1 / WORLD.fps)
    assert found.chance > 0.02


def test_noise_between_impacts_does_not_count(films):
    """The hiss of a decoder 35 dB down counted as hundreds of onsets."""
    film = films[0]
    hiss = np.random.default_rng(0).normal(size=film.samples.shape).astype(np.float32)
    noisy = film.samples + hiss * np.abs(film.samples).max() * 10 ** (-35 / 20) / 3
    assert len(onsets(noisy, WORLD.rate)) == len(truth(film))


def test_nothing_moves_or_sounds():
    """A grey clip or silence ending in an error instead of no events."""
    grey = np.full((17, 64, 64, 3), 90, np.uint8)
    assert len(impacts(grey, 8.0)) == 0
    assert len(onsets(np.zeros((1, 16_000), np.float32), 16_000)) == 0
    steady = np.sin(np.arange(32_000) / 10, dtype=np.float32)[None] * 0.3
    assert len(onsets(steady, 16_000)) <= 1  # its own beginning


def test_coloured_noise_has_no_impacts():
    """A crash over what an untrained network makes: every hue, none of them above the others."""
    hue = np.arange(17 * 32 * 32) % 180 * 2
    pixels = cv2.cvtColor(
        np.stack([hue // 2, np.full_like(hue, 255), np.full_like(hue, 255)], -1)
        .astype(np.uint8)
        .reshape(17 * 32, 32, 3),
        cv2.COLOR_HSV2RGB,
    ).reshape(17, 32, 32, 3)
    assert tracks(pixels) == []


def test_rise_to_the_top_is_no_impact():
    """The turn at the top of a flight taken for a bounce."""
    pixels = np.full((17, 64, 64, 3), 60, np.uint8)
    for frame, height in zip(pixels, np.abs(np.arange(17) - 8), strict=True):
        frame[10 + 4 * height : 18 + 4 * height, 20:28] = (230, 30, 30)
    assert len(impacts(pixels, 8.0)) == 0


def test_one_clip_cannot_be_shuffled():
    """A number printed from nothing to compare with."""
    with pytest.raises(ValueError, match="two are needed"):
        align([(np.array([1.0]), np.array([1.0])), (np.zeros(0), np.array([1.0]))], 0.1)
