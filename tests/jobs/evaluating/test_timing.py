"""Timing of picture and sound: published definitions, and a fall where they are moved apart."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from jobs.evaluating.clips import RATE
from jobs.evaluating.timing import av_align, f1, onset_f1, overlap, timing_scores

FILMS = 6


def moved(seen, ms):
    return replace(seen, sound=np.roll(seen.sound, round(ms * RATE / 1000)))


NAMES = ("event_f1", "av_align", "sync_match")


def means(films):
    """Of each measure, over the films that have it."""
    found = [timing_scores(film) for film in films]
    there = {name: [one[name] for one in found if one.get(name) is not None] for name in NAMES}
    return {name: float(np.mean(values)) for name, values in there.items()}


@pytest.fixture(scope="module")
def own(world):
    return means(world[:FILMS])


def test_peaks_overlap_as_the_paper_counts_them():
    """An intersection that counts one side alone, or a window that is closed or too wide."""
    a, b = np.array([0.0, 1.0, 2.0]), np.array([0.05, 0.07, 1.4])
    # 0.0 has a peak near it; 0.05 and 0.07 have it near them: (1 + 2) / 2 of 6 − 1.5
    assert overlap(a, b, 0.1) == pytest.approx(1.5 / 4.5)
    assert overlap(a, a, 0.1) == 1
    assert overlap(a, a + 0.1, 0.1) == 0
    assert overlap(a, np.zeros(0), 0.1) == 0
    assert overlap(np.zeros(0), np.zeros(0), 0.1) is None


def test_events_are_matched_one_to_one():
    """One sound that counts for three impacts."""
    assert f1(np.array([1.0]), np.array([0.95, 1.0, 1.04]), 0.05) == pytest.approx(0.5)
    assert f1(np.array([0.0, 1.0]), np.array([0.04, 1.04]), 0.05) == 1
    assert f1(np.array([0.0]), np.zeros(0), 0.05) == 0
    assert f1(np.zeros(0), np.zeros(0), 0.05) is None


def test_agreement_falls_as_the_sound_is_moved(world, own):
    """A measure of timing that does not see time. Far shifts meet the impacts that follow."""
    near, far = (means([moved(film, ms) for film in world[:FILMS]]) for ms in (90, 180))
    for name in NAMES:
        assert own[name] > near[name] > far[name] - 0.05, (name, own, near, far)
        assert own[name] > 1.5 * max(far[name], 0.0), (name, own, far)


def test_another_films_sound_agrees_less(world, own):
    """A measure that only counts events."""
    others = pairwise(world[: FILMS + 1])
    swapped = means([replace(film, sound=other.sound) for film, other in others])
    for name in NAMES:
        assert own[name] > swapped[name] + 0.1, (name, own, swapped)


def test_a_confident_offset_is_the_shift(world):
    """The size of an offset read as something else."""
    found = [timing_scores(moved(film, 200)).get("sync_error_ms") for film in world[:4]]
    sure = [value for value in found if value is not None]
    assert sure
    assert np.median(sure) == pytest.approx(200, abs=63)


def test_what_cannot_be_measured_is_null(world):
    """A pass, or a 0, for a clip without sound, with silence, or of three frames."""
    film = world[0]
    assert timing_scores(replace(film, sound=None)) == {}
    assert timing_scores(replace(film, sound=np.zeros_like(film.sound))) == {}
    assert timing_scores(replace(film, pixels=film.pixels[:3], times=film.times[:3])) == {}


def test_a_frozen_picture_has_no_peaks(world):
    """Agreement of a still picture with a sound."""
    film = world[0]
    still = replace(film, pixels=np.repeat(film.pixels[:1], len(film.pixels), axis=0))
    assert av_align(still) == 0


def test_onsets_of_another_sound_match_less(world):
    """A reference that is not looked at; noise over the sound must not raise the score."""
    rng = np.random.default_rng(0)
    real = world[0].sound
    found = [onset_f1(np.roll(real, round(ms * RATE / 1000)), real) for ms in (0, 30, 120)]
    assert found[0] == 1
    assert found[1] == 1
    assert found[2] < 0.5
    loud = real + rng.normal(0, 0.3, real.size).astype(np.float32)
    assert onset_f1(loud, real) < 1
