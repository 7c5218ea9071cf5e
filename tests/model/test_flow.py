"""Objective and time densities."""

import pytest
import torch

from model.flow import interpolate, loss, shift_times, times, velocity


def test_t_one_is_data_and_the_velocity_leads_there():
    """Catches a reversed clock or a target of the wrong sign."""
    clean, noise = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    t = torch.tensor([0.0, 0.3, 1.0])
    z = interpolate(clean, noise, t)
    assert torch.equal(z[0], noise[0])
    assert torch.equal(z[2], clean[2])
    there = z + (1 - t)[:, None, None] * velocity(clean, noise)
    torch.testing.assert_close(there, clean)


def test_loss_is_per_sample_and_skips_what_is_kept():
    """Catches a loss that averages over the batch or pays for the given picture."""
    target = torch.zeros(3, 4, 5, 2, 2)
    predicted = torch.ones_like(target)
    predicted[:, :, :1] = 100  # wrong only where kept
    mask = torch.zeros(3, 1, 5, 2, 2)
    mask[:, :, :1] = 1
    predicted[1, :, 1:] = 3
    mask[2] = 1
    assert loss(predicted, target, mask).tolist() == [1, 9, 0]
    assert loss(torch.full((2, 3, 4), 2.0), torch.zeros(2, 3, 4)).tolist() == [4, 4]


def test_densities_have_their_quantiles():
    """Catches a warp that is not the inverse distribution, or that leaves 0..1."""
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(times(u), u.float())
    normal = times(u, "logit_normal")
    assert normal.min() >= 0
    assert normal.max() <= 1
    assert (normal.diff() >= 0).all()
    assert float(normal[500]) == pytest.approx(0.5)
    assert float(normal[841]) == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item(), abs=0.01)


def test_shift_moves_mass_to_noise():
    """Catches a shift towards data: t = 1 is data here, the usual formula counts noise."""
    t = torch.tensor([0.0, 0.5, 1.0])
    assert shift_times(t, 3.0).tolist() == [0.0, 0.25, 1.0]
    assert shift_times(t, 1.0).tolist() == t.tolist()


@pytest.mark.parametrize("wrong", [{"density": "cosine"}, {"shift": 0.0}, {"width": -1.0}])
def test_wrong_settings_name_the_field(wrong):
    """Catches a density that silently becomes another."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        times(torch.rand(3), **wrong)
