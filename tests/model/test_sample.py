"""Sampler and guidance."""

from dataclasses import replace

import pytest
import torch

from model.guidance import Guidance, guide
from model.sample import euler, grid
from model.tower import Media
from tests.model.helpers import make_media, make_model

MEAN, STD = 3.0, 0.5


def gaussian(video: Media | None, audio: Media | None):
    """The exact velocity of data N(MEAN, STD^2): E[z0 - eps | z_t]."""

    def exact(media: Media | None) -> torch.Tensor | None:
        if media is None:
            return None
        t = media.t.reshape(-1, *[1] * (media.latent.dim() - 1))
        variance = t**2 * STD**2 + (1 - t) ** 2
        return MEAN + (t * STD**2 - (1 - t)) / variance * (media.latent - t * MEAN)

    return exact(video), exact(audio)


def test_sampler_recovers_a_known_distribution():
    """Catches a sampler that goes the wrong way, skips a step or mis-sizes one."""
    video, audio = make_media(batch=256)
    for made in euler(gaussian, video, audio, grid(64)):
        assert float(made.mean()) == pytest.approx(MEAN, abs=0.03)
        assert float(made.std()) == pytest.approx(STD, abs=0.03)


def test_sampler_reaches_a_single_sample():
    """Catches a last step that stops short of t = 1: a constant velocity must arrive exactly."""
    audio = make_media()[1]
    goal = torch.randn_like(audio.latent)
    start = audio.latent

    def straight(_: Media | None, sound: Media | None):
        return None, goal - start

    made = euler(straight, None, audio, grid(7, shift=3.0))
    assert made[0] is None
    torch.testing.assert_close(made[1], goal)


def test_kept_regions_come_back_bit_equal_and_on_their_path():
    """Catches a first image that is altered, or shown at a noise level training never had."""
    video, audio = make_media()
    mask = torch.zeros_like(video.mask)
    mask[:, :, 0] = 1
    video = replace(video, mask=mask)
    noise, seen = video.latent, []

    def model(v: Media, a: Media):
        t = v.t.reshape(-1, 1, 1, 1, 1)
        expected = t * v.condition + (1 - t) * noise
        seen.append(torch.allclose(v.latent[:, :, 0], expected[:, :, 0], atol=1e-6))
        return torch.full_like(v.latent, 50.0), torch.zeros_like(a.latent)

    made, _ = euler(model, video, audio, grid(5))
    assert seen == [True] * 5
    assert torch.equal(made[:, :, 0], video.condition[:, :, 0])
    torch.testing.assert_close(made[:, :, 1:], noise[:, :, 1:] + 50)


def test_same_noise_gives_the_same_clip():
    """Catches hidden randomness: a clip must repeat from its seed."""
    model = make_model(awake=True)
    runs = [euler(guide(model, Guidance(2, 2)), *make_media(), grid(3)) for _ in range(2)]
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a, b)


def test_guidance_extrapolates_each_modality_by_its_own_scale():
    """Catches swapped scales, swapped halves or a wrong formula."""
    model = make_model(awake=True)
    video, audio = make_media()
    none = torch.zeros_like(video.text_mask)
    text = model(video, audio)
    free = model(replace(video, text_mask=none), replace(audio, text_mask=none))
    got = guide(model, Guidance(video=3.0, audio=0.0))(video, audio)
    torch.testing.assert_close(got[0], free[0] + 3 * (text[0] - free[0]), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(got[1], free[1], rtol=1e-3, atol=1e-4)


def test_scale_one_costs_one_pass():
    """Catches twice the work where guidance is off."""
    model = make_model()
    assert guide(model, Guidance()) is model


def test_grid_needs_a_step():
    """Catches zero steps, which would return noise as a clip."""
    with pytest.raises(ValueError, match="steps"):
        grid(0)
