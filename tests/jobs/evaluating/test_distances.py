"""Distances of sets: against other ways to reckon them, and under perturbation."""

import numpy as np
import pytest
from scipy import linalg

from jobs.evaluating.distances import divergence, frechet, halves, inception, of_sets

RNG = np.random.default_rng(0)


def by_matrix_root(a, b):
    """The textbook's way: a matrix root of the product of covariances."""
    A, B = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(A @ B).real
    way = a.mean(axis=0) - b.mean(axis=0)
    return way @ way + np.trace(A + B - 2 * root)


@pytest.mark.parametrize(("n", "m"), [(200, 150), (400, 30)])
def test_it_is_the_distance_of_gaussians(n, m):
    """A trace, root or mean taken wrongly; more samples than features."""
    a = RNG.normal(0, 1, (n, 20)) @ RNG.normal(0, 1, (20, 20))
    b = RNG.normal(0.5, 2, (m, 20))
    assert frechet(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-6)


def test_fewer_samples_than_features_are_exact():
    """A singular covariance, where a matrix root is noise; one direction has a closed form."""
    line = np.zeros(300)
    line[7] = 1
    a, b = RNG.normal(0, 1, (40, 1)) * line, RNG.normal(2, 3, (50, 1)) * line
    expected = (a[:, 7].mean() - b[:, 7].mean()) ** 2
    expected += (a[:, 7].std(ddof=1) - b[:, 7].std(ddof=1)) ** 2
    assert frechet(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a[:1], b) is None


def test_divergence_is_that_of_the_real_from_the_made():
    """The direction turned round, which punishes other mistakes."""
    real, made = np.array([4.0, 0, 0]), np.array([0.0, 0, 4])
    p = np.exp(real) / np.exp(real).sum()
    q = np.exp(made) / np.exp(made).sum()
    assert divergence(made, real) == pytest.approx((p * np.log(p / q)).sum(), rel=1e-3)
    assert divergence(real, real) == pytest.approx(0, abs=1e-6)


def test_inception_counts_the_kinds():
    """A score that does not ask for difference between clips, or for a clear class in each."""
    clear = 40 * np.eye(5)
    assert inception(clear) == pytest.approx(5, rel=1e-3)
    assert inception(np.repeat(clear[:1], 5, axis=0)) == pytest.approx(1)
    assert inception(np.zeros((5, 5))) == pytest.approx(1)
    found = [inception(scale * np.eye(5)) for scale in (1, 2, 4, 8)]
    assert found == sorted(found)
    assert inception(clear[:1]) is None


def test_an_interval_holds_its_value_and_shrinks_with_clips():
    """Draws of samples in place of clips, or an interval that its own value lies outside of."""

    def clips(count):
        return [RNG.normal(RNG.normal(0, 1, 4), 0.1, (5, 4)) for _ in range(count)]

    few, many = (of_sets(frechet, clips(n), clips(n)) for n in (10, 100))
    for one in (few, many):
        assert one.low <= one.value <= one.high
    assert many.high - many.low < few.high - few.low
    assert few.clips == 10
    assert of_sets(frechet, clips(1), clips(10)) is None
    assert of_sets(frechet, clips(3), []) is None


def test_halves_share_no_clip():
    """A floor of a set against itself, which is 0."""
    clips = [np.full((2, 1), n) for n in range(9)]
    one, two = halves(clips)
    assert {float(c[0, 0]) for c in one}.isdisjoint(float(c[0, 0]) for c in two)
    assert len(one) + len(two) == 9
