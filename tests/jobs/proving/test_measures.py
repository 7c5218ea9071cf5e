"""The detectors are right on films whose truth is known, and each falls where it must."""

from dataclasses import replace

import numpy as np
import pytest

from jobs.proving import measures
from tests.jobs.proving.conftest import FILMS, read_films

ATTRIBUTES = ("colour", "shape", "count", "direction", "picture", "pitch", "timbre", "events")
TIMES = ("onset_f1", "impact_f1", "sync")
# What the autoencoders leave at 8 pixels a latent: an object of 13 pixels is less than two of them.
AFTER = {64: {"shape": 0.75, "picture": 0.75}, 32: {"shape": 0.3, "picture": 0.3}}
AFTER[32] |= {"timbre": 0.85, "impact_f1": 0.85}


def turned(films, change):
    return read_films([change(film) for film in films])


@pytest.mark.parametrize("size", FILMS)
@pytest.mark.parametrize("name", [*ATTRIBUTES, *TIMES])
def test_detectors_are_right_on_films(known, share, name, size):
    """Catches a detector that is blind to a shape, a colour, a size, a soft knock."""
    there = known[size]
    assert share(getattr(measures, name), there.truths, there.readings) >= 0.95


@pytest.mark.parametrize("size", FILMS)
def test_what_the_autoencoders_leave_is_still_read(known, share, size):
    """Catches detectors that only know films that no network made."""
    there = known[size]
    coded = read_films(there.coded)
    for name in (*ATTRIBUTES, *TIMES):
        least = AFTER.get(size, {}).get(name, 0.9)
        assert share(getattr(measures, name), there.truths, coded) >= least, name


def test_median_error_of_sync_is_a_fraction_of_a_frame(known):
    """Catches a clock that runs ahead in picture or sound."""
    away = [
        ms
        for there in known.values()
        for truth, reading in zip(there.truths, there.readings, strict=True)
        for ms in measures.sync_ms(truth, reading, reading)
    ]
    assert np.median(away) < 40


def test_other_colours_are_other_colours(known, share):
    """Catches a colour that is taken from anywhere but the object."""
    there = known[64]
    seen = turned(there.films, lambda film: replace(film, pixels=film.pixels[..., ::-1]))
    kept = [colour == "green" for truth in there.truths for colour, _, _ in truth.things]
    assert share(measures.colour, there.truths, seen) <= np.mean(kept)


def test_backwards_is_another_direction(known, share):
    """Catches a direction that is read from where a thing is, not from where it goes."""
    there = known[64]
    seen = turned(there.films, lambda film: replace(film, pixels=film.pixels[:, :, ::-1]))
    ways = {"left": "right", "right": "left", "down": "down"}
    for truth, reading in zip(there.truths, seen, strict=True):
        assert [kind[2] for kind in reading.kinds()] == [ways[kind[2]] for kind in truth.things]
    upward = turned(there.films, lambda film: replace(film, pixels=film.pixels[::-1]))
    assert share(measures.impact_f1, there.truths, upward) <= 0.6


def test_moved_sound_and_another_films_sound_are_chance(known, share):
    """Catches a sync that anything reaches: the share of frames near an impact is what is left."""
    there = known[64]
    own = share(measures.sync, there.truths, there.readings)
    moved = [reading.later(0.4) for reading in there.readings]
    assert share(measures.sync, there.truths, there.readings, moved) <= 0.5 < own
    others = there.readings[1:] + there.readings[:1]
    assert share(measures.sync, there.truths, there.readings, others) <= 0.65
    assert share(measures.onset_f1, there.truths, moved) <= 0.6
    for name in ("pitch", "timbre"):
        assert share(getattr(measures, name), there.truths, others) <= 0.5


def test_higher_sounds_have_another_pitch_and_the_same_timbre(known, share):
    """Catches a pitch that is the timbre's, or a timbre that is the pitch's."""
    there = known[64]
    found = turned(
        there.films, lambda film: replace(film, samples=film.samples[:, ::2])
    )  # an octave
    assert share(measures.pitch, there.truths, found) <= 0.2


def test_nothing_is_found_where_nothing_is(known, share):
    """Catches a detector that always answers: noise and a blur must not have objects or knocks."""
    there = known[64]
    rng = np.random.default_rng(0)
    noise = replace(
        there.films[0],
        pixels=rng.integers(0, 256, there.films[0].pixels.shape, np.uint8),
        samples=np.zeros_like(there.films[0].samples),
    )
    grey = replace(noise, pixels=np.full_like(noise.pixels, 110))
    for reading in read_films([noise, grey]):
        assert not reading.things
        assert not reading.sounds
        truth = there.truths[0]
        for name in (*ATTRIBUTES, *TIMES):
            assert getattr(measures, name)(truth, reading, reading) == [0.0], name


def test_what_was_given_counts_for_nothing(known, share):
    """Catches an extension that is praised for the impacts of the part that it was given."""
    there = known[64]
    start = 9 / 8
    truths = [truth.since(start) for truth in there.truths]
    frozen = [replace(film, pixels=film.pixels.copy()) for film in there.films]
    for film in frozen:
        film.pixels[9:] = film.pixels[8]
    seen = [reading.since(start) for reading in read_films(frozen)]
    assert share(measures.impact_f1, truths, seen) == 0
    whole = [reading.since(start) for reading in there.readings]
    assert share(measures.impact_f1, truths, whole) >= 0.9
    assert share(measures.onset_f1, truths, whole) >= 0.9


def test_f1_matches_one_to_one():
    """Catches many sounds that all count for one impact."""
    assert measures.f1(np.array([1.0]), np.array([0.9, 0.95, 1.0, 1.05]), 0.125) == [0.4]
    assert measures.f1(np.array([1.0, 1.1]), np.array([1.05, 1.2]), 0.125) == [1.0]
    assert measures.f1(np.array([1.0]), np.zeros(0), 0.125) == [0.0]
    assert measures.f1(np.zeros(0), np.array([1.0]), 0.125) == []
