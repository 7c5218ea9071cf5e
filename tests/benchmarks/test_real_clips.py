"""The damage that a table of metrics stands on is the one that it names."""

import numpy as np
import pytest

from benchmarks.real_clips import RATE, dull, held, hissing, late, with_sound

RNG = np.random.default_rng(0)
CUT = (
    RNG.integers(0, 255, (24, 32, 32, 3)).astype(np.uint8),
    12.0,
    RNG.normal(0, 0.1, (1, 2 * RATE)).astype(np.float32),
)


def test_damage_is_of_the_size_that_is_said():
    """A shift the other way, a level in amplitude for one in power, a filter that lets through."""
    assert np.array_equal(
        late(CUT, 0.4)[2][:, round(0.4 * RATE) :], CUT[2][:, : -round(0.4 * RATE)]
    )
    assert len(np.unique(held(CUT, 0.5)[0].reshape(24, -1), axis=0)) == 4
    noise = hissing(CUT, 10)[2] - CUT[2]
    assert 20 * np.log10(CUT[2].std() / noise.std()) == pytest.approx(10, abs=0.2)
    power = np.square(np.abs(np.fft.rfft(dull(CUT, 1000)[2][0])))
    above = 1500 * 2
    assert power[above:].sum() < 1e-3 * power.sum()
    other = (CUT[0][:5], 12.0, CUT[2][:, :100])
    assert with_sound(CUT, other)[2].shape == CUT[2].shape
