"""Sampler and guidance."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from model.guidance import Guidance, guide
from model.sample import grid, integrate, keep
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
    for made in integrate(gaussian, video, audio, grid(64)):
        assert float(made.mean()) == pytest.approx(MEAN, abs=0.03)
        assert float(made.std()) == pytest.approx(STD, abs=0.03)


def test_sampler_reaches_a_single_sample():
    """Catches a last step that stops short of t = 1: a constant velocity must arrive exactly."""
    audio = make_media()[1]
    goal = torch.randn_like(audio.latent)
    start = audio.latent

    def straight(_: Media | None, sound: Media | None):
        return None, goal - start

    made = integrate(straight, None, audio, grid(7, shift=3.0))
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

    made, _ = integrate(model, video, audio, grid(5))
    assert seen == [True] * 5
    assert torch.equal(made[:, :, 0], video.condition[:, :, 0])
    torch.testing.assert_close(made[:, :, 1:], noise[:, :, 1:] + 50)


def test_same_noise_gives_the_same_clip():
    """Catches hidden randomness: a clip must repeat from its seed."""
    model = make_model(awake=True)
    runs = [integrate(guide(model, Guidance(2, 2)), *make_media(), grid(3)) for _ in range(2)]
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


def error(method, steps):
    """Distance from the exact flow of Gaussian data: z_1 = MEAN + STD * z_0."""
    video, audio = make_media(batch=16)
    made = integrate(gaussian, video, audio, grid(steps), method)
    exact = [MEAN + STD * media.latent for media in (video, audio)]
    return max(float((a - b).abs().max()) for a, b in zip(made, exact, strict=True))


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("dpmpp", 2)])
def test_samplers_have_their_order(method, order):
    """Catches a sampler of second order that gains nothing over Euler, or aims elsewhere."""
    coarse, fine = error(method, 80), error(method, 160)
    assert coarse / fine == pytest.approx(2**order, rel=0.25)
    assert error(method, 10) < (0.3 if order == 1 else 0.05)


def test_one_pass_a_step_is_what_multistep_costs():
    """Catches a multistep sampler that asks the model twice."""
    calls = []

    def counted(video, audio):
        calls.append(1)
        return gaussian(video, audio)

    integrate(counted, *make_media(), grid(6), "dpmpp")
    assert len(calls) == 6
    integrate(counted, *make_media(), grid(6), "heun")
    assert len(calls) == 6 + 11  # the last step of Heun is Euler's


@pytest.mark.parametrize("method", ["euler", "heun", "dpmpp"])
def test_a_given_modality_stays_and_has_no_noise(method):
    """Catches sound to picture that hears noise, or gives back another sound."""
    video, audio = make_media()
    known = torch.randn_like(audio.latent)
    audio = replace(audio, condition=known, mask=torch.ones_like(known[:, :1]))
    heard = []

    def model(v, a):
        heard.append(torch.equal(a.latent, known) and bool((a.t == 1).all()))
        assert not (v.t == 1).all()
        return torch.ones_like(v.latent), torch.full_like(a.latent, 9.0)

    made = integrate(model, video, audio, grid(4), method)
    assert all(heard)
    assert torch.equal(made[1], known)
    torch.testing.assert_close(made[0], video.latent + 1)


def test_a_mask_of_ones_returns_the_source():
    """Catches an edit of nothing that changes something."""
    model = make_model(awake=True)
    video, audio = make_media()
    video = replace(video, mask=torch.ones_like(video.mask))
    made = integrate(guide(model, Guidance(2, 2)), video, audio, grid(3), "dpmpp")
    assert torch.equal(made[0], video.condition)
    assert made[1] is not None
    assert not torch.equal(made[1], audio.latent)


def test_the_other_modality_guides_by_its_own_scale():
    """Catches a picture that the sound pulls where it should not, or a tower that was not alone."""
    model = make_model(awake=True)
    video, audio = make_media()
    both = model(video, audio)
    alone = model(None, audio)[1]
    got = guide(model, Guidance(cross_audio=2.5))(video, audio)
    torch.testing.assert_close(got[0], both[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(got[1], both[1] + 1.5 * (both[1] - alone), rtol=1e-3, atol=1e-4)


def test_rescale_sets_the_spread_back_and_the_interval_ends_guidance():
    """Catches colours that burn out at high guidance, or guidance that works at all times."""
    model = make_model(awake=True)
    video, audio = make_media()
    plain = model(video, audio)
    pulled = guide(model, Guidance(6, 6, rescale=1.0))(video, audio)
    for a, b in zip(plain, pulled, strict=True):
        torch.testing.assert_close(a.flatten(1).std(1), b.flatten(1).std(1), rtol=1e-3, atol=1e-4)
    late = replace(video, t=torch.full_like(video.t, 0.9)), replace(audio, t=audio.t * 0 + 0.9)
    got = guide(model, Guidance(6, 6, interval=(0.1, 0.8)))(*late)
    for a, b in zip(model(*late), got, strict=True):
        assert torch.equal(a, b)


def test_grid_needs_a_step():
    """Catches zero steps, which would return noise as a clip."""
    with pytest.raises(ValueError, match="steps"):
        grid(0)


def test_a_mask_of_nothing_changes_no_bit():
    """Catches a shortcut for clips of which nothing is known that makes another clip."""
    video, audio = make_media()
    model, times = make_model(awake=True), grid(3, 2.0)
    z = video.latent, audio.latent
    for now, after in pairwise(times):  # the long way: kept regions are put back after each step
        t = torch.full_like(video.t, now)
        media = [replace(m, latent=x, t=t) for m, x in zip((video, audio), z, strict=True)]
        with torch.no_grad():
            v = model(*media)
        z = tuple(x + (after - now) * slope for x, slope in zip(z, v, strict=True))
        z = keep(video, z[0], video.latent, after), z[1]
    made = integrate(model, video, audio, times)
    assert all(torch.equal(a, b) for a, b in zip(made, z, strict=True))


def test_media_at_another_place_is_a_media_like_any():
    """Catches a field that the short way of copying forgets, or shares."""
    video, _ = make_media()
    latent, t = torch.zeros_like(video.latent), torch.ones_like(video.t)
    ours, long = video.at(latent, t), replace(video, latent=latent, t=t)
    assert type(ours) is Media
    assert all(vars(ours)[name] is value for name, value in vars(long).items())
    assert video.latent is not latent
