"""Curves as a person reads them."""

import re

import numpy as np

from jobs.report.charts import curves


def heights(y):
    """Of a curve's points above the base, as drawn."""
    drawn = str(curves({"loss": (np.arange(len(y), dtype=float), np.array(y))}, "steps"))
    points = re.search(r'class="curve c0" points="([^"]*)"', drawn)[1]
    return np.array([-float(point.split(",")[1]) for point in points.split()])


def test_a_loss_that_falls_far_is_drawn_by_factors():
    """An end in which four runs are one line, because the beginning needed the room."""
    steps = np.diff(heights([4.0, 2.0, 1.0, 0.5, 0.25]))
    assert np.allclose(steps[1:-1], steps[1], rtol=0.05)


def test_what_stays_near_or_touches_zero_is_drawn_from_zero():
    """A change of a tenth that looks like a collapse; the logarithm of nothing."""
    near = heights([1.0, 0.9, 0.8, 0.7])
    assert np.allclose(np.diff(near), np.diff(near)[0], rtol=0.05)
    assert np.isfinite(heights([5.0, 1.0, 0.0, 0.0])).all()
