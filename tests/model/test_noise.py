"""Draws are a pure function of (seed, clip, visit, purpose)."""

import pytest
import torch

from model.noise import Draw, normal, uniform

CLIPS = [f"{i:016x}-0-2000" for i in range(8)]


def batch(clips: list[str]) -> list[Draw]:
    return [Draw(seed=3, clip_id=clip, visit=1) for clip in clips]


GOLDEN_T, GOLDEN_EPS = 0.13374065154634207, [0.2554522454738617, 0.7554932236671448]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_world_size_changes_no_draw(world):
    """Catches noise drawn from a rank's own state: another world size would train another run."""
    whole = normal(batch(CLIPS), "video", (2, 3))
    torch.manual_seed(world)  # a global seed must not matter
    ranks = [normal(batch(CLIPS[r::world]), "video", (2, 3)) for r in range(world)]
    for rank in range(world):
        assert torch.equal(ranks[rank], whole[rank::world])


def test_every_part_of_the_key_counts():
    """Catches a key part that is dropped or glued to its neighbour."""
    draws = [
        Draw(0, "a", 0),
        Draw(1, "a", 0),
        Draw(0, "b", 0),
        Draw(0, "a", 1),
        Draw(0, "1|a", 0),
        Draw(11, "a", 1),
        Draw(1, "a", 11),
    ]
    values = [d.uniform(p) for d in draws for p in ("t", "task", "noise video", "noise audio")]
    assert len(set(values)) == len(values)


def test_draws_repeat_bit_for_bit():
    """Catches a platform- or process-salted hash: these bits are part of every checkpoint."""
    assert Draw(0, "clip", 0).uniform("t") == GOLDEN_T
    assert Draw(0, "clip", 0).normal("eps", (2,)).tolist() == GOLDEN_EPS


def test_draws_have_their_distributions():
    """Catches correlated or biased draws over many clips."""
    draws = [Draw(0, f"clip{i}", 0) for i in range(2000)]
    u = uniform(draws, "t")
    assert u.min() >= 0
    assert u.max() < 1
    assert float(u.mean()) == pytest.approx(0.5, abs=0.03)
    n = normal(draws, "noise", (4,))
    assert float(n.mean()) == pytest.approx(0, abs=0.05)
    assert float(n.std()) == pytest.approx(1, abs=0.05)
    assert abs(float(torch.corrcoef(n.T)[0, 1])) < 0.08
