"""Extrapolation: a band that holds the truth as often as it says, a sample that is no accident."""

from math import inf

import numpy as np
import pytest

from curation.sources import Source
from pipelines.estimate import SURE, Estimate, by_film, pick, ratio


def test_a_band_holds_the_truth_as_often_as_it_says():
    """A band too narrow for eight films of very different lengths, or one that says nothing."""
    rng = np.random.default_rng(0)
    seconds = rng.lognormal(5, 0.6, 400)
    costs = seconds * rng.lognormal(0, 0.3, 400)
    truth = costs.sum() / seconds.sum()
    held, widths = [], []
    for _ in range(400):
        some = rng.choice(400, 8, replace=False)
        found = ratio(costs[some], seconds[some], 400)
        held.append(found.low <= truth <= found.high)
        widths.append(found.error)
    assert np.mean(held) == pytest.approx(SURE, abs=0.08)
    assert np.median(widths) < 0.6


def test_a_sample_that_is_everything_has_no_error():
    """Two films in a folder whose plan has a band about what was measured on all there is."""
    assert ratio([2.0, 4.0], [1.0, 1.0], 2) == Estimate(3.0)
    assert ratio([2.0, 4.0], [1.0, 1.0], 3).error > 0
    assert ratio([2.0], [1.0], 3).error == inf
    assert ratio([], [], 3).error == inf
    assert ratio([2.0, 3.0], [0.0, 0.0], 3).error == inf


def test_errors_of_a_product_add_up():
    """A total whose band forgets that the length of the films is itself an estimate."""
    total = Estimate(2.0, 0.3).times(Estimate(10.0, 0.4))
    assert (total.value, total.error) == (20.0, pytest.approx(0.5))
    assert Estimate(1.0, 2.0).low == 0
    assert Estimate(0.0, inf).high == 0


def test_the_sample_spreads_over_the_sizes():
    """A plan from the first files of a folder: all trailers, or all features."""
    films = [Source(f"{i:03}.mp4", bytes=i) for i in range(100)]
    sizes = [film.bytes for film in pick(films, 4)]
    assert sizes == [12, 37, 62, 87]
    assert pick(films[::-1], 4) == pick(films, 4)
    assert pick(films[:3], 4) == films[:3]


def test_what_belongs_to_no_film_is_kept_apart():
    """The start of an actor counted as work on a film, or work on a clip that is lost."""
    films = {"/films/a.mp4": "a" * 16, "/films/b.mp4": "b" * 16}
    clip = "a" * 16 + "-0000000000-0000002000"
    times = {"/films/a.mp4": 1.0, clip: 2.0, f"{clip} text": 4.0, "start of 0815": 8.0}
    assert by_film(times, films) == {"a" * 16: 7.0, "": 8.0}
