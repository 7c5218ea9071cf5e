"""Offsets between picture and sound on generated films, whose sound is shifted by a known time."""

import numpy as np
import pytest

from curation.sight import Sight, Track
from curation.sync import sync_scores
from curation.world.config import WorldConfig
from curation.world.film import make_film

WORLD = WorldConfig(seed=5, fps=16, height=96, width=96, seconds=(4, 4), motions=("fall", "throw"))


@pytest.fixture(scope="module")
def films():
    made = []
    for index in range(8):
        film = make_film(WORLD, index)
        sight = Sight()
        sight.feed(np.arange(len(film.pixels)) / film.fps, film.pixels)
        made.append((sight.track(), film.samples.mean(axis=0, dtype=np.float64), film.rate))
    return made


def moved(samples, by):
    return np.roll(np.pad(samples, 8_000), by)[8_000:-8_000]


@pytest.mark.parametrize("shift_ms", [0, 250, -250])
def test_a_shift_is_found_within_one_frame(films, shift_ms):
    """An offset with the wrong sign or size, or a confidence that means nothing."""
    found = []
    for track, samples, rate in films:
        scores = sync_scores(track, moved(samples, round(shift_ms * rate / 1000)), rate, 0.0)
        found.append((scores.get("sync_offset_ms", np.nan), scores.get("sync_confidence", 0)))
        assert scores["sync_floor_ms"] == pytest.approx(62.5)
    right = [abs(offset - shift_ms) <= 62.5 for offset, _ in found]
    assert sum(right) >= 6, found
    assert all(ok for ok, (_, sure) in zip(right, found, strict=True) if sure >= 2.5), found


def test_nothing_to_compare_is_null(films):
    """An offset made up from silence or from a still picture."""
    track, samples, rate = films[0]
    assert "sync_offset_ms" not in sync_scores(track, np.zeros_like(samples), rate, 0.0)
    still = Sight()
    still.feed(np.arange(20) / 16, np.full((20, 96, 96, 3), 90, np.uint8))
    assert "sync_offset_ms" not in sync_scores(still.track(), samples, rate, 0.0)


def test_films_of_few_frames_a_second_have_no_offset(films):
    """An offset from 8 frames a second, of which one in six is wrong, that a policy acts on."""
    track, samples, rate = films[0]
    assert sync_scores(track, samples, rate, 0.0).get("sync_offset_ms") is not None
    coarse = Track(track.times[::2], track.values[::2], track.hashes[::2])
    assert sync_scores(coarse, samples, rate, 0.0) == {"sync_floor_ms": pytest.approx(125)}
