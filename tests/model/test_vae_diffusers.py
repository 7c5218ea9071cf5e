"""Video autoencoders of diffusers: their sizes, their scale, and what they say of themselves."""

import diffusers
import pytest
import torch

from model.geometry import Geometry, VideoSpec
from model.vae import load_video_vae
from model.vae_diffusers import KINDS
from tests.tiny_vaes import VIDEO, save_video

SPECS = {
    "wan": VideoSpec(3, 4, 8),
    "wan22": VideoSpec(3, 4, 16),
    "hunyuan": VideoSpec(4, 4, 16),
    "hunyuan_first": VideoSpec(4, 4, 8),
    "ltx2": VideoSpec(8, 8, 32),
}
NAMES = sorted(VIDEO)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("vaes")
    for name in NAMES:
        save_video(root / name, name)
    return root


def clip(spec, latents=3, seed=1):
    """Smooth motion that fills so many latent frames of 3x2 cells."""
    torch.manual_seed(seed)
    frames = 1 + (latents - 1) * spec.time
    coarse = torch.rand(1, 3, frames, 6, 4)
    return 2 * torch.nn.functional.interpolate(coarse, (frames, 3 * spec.space, 2 * spec.space)) - 1


@pytest.mark.parametrize("name", NAMES)
def test_sizes_follow_the_spec(folder, name):
    """Catches strides read wrong: geometry, buckets and the model's tokens come from them."""
    vae = load_video_vae(folder / name)
    assert vae.spec == SPECS[name]
    pixels = clip(vae.spec)
    size = Geometry(*pixels.shape[2:], fps=8.0, video=vae.spec)
    latent = vae.encode(pixels)
    assert tuple(latent.shape) == (1, *size.video_shape)
    assert vae.decode(latent).shape == pixels.shape
    assert torch.equal(latent, vae.encode(pixels)), "encoding draws noise"
    for wrong in (pixels[:, :, :-1], pixels[..., :-1], pixels[:, :1]):
        with pytest.raises(ValueError, match=r"1 \+|must be \[B,3"):
            vae.encode(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_scale_is_that_of_the_models_own_pipeline(folder, name):
    """Catches latents that a transformer trained on this autoencoder would not know."""
    vae, pixels = load_video_vae(folder / name), clip(SPECS[name])
    net = getattr(diffusers, vae.kind).from_pretrained(folder / name, low_cpu_mem_usage=False)
    with torch.no_grad():
        raw = net.encode(pixels).latent_dist.mode()
        shape = (1, -1, 1, 1, 1)
        if name.startswith("hunyuan"):
            wanted = raw * net.config.scaling_factor
        elif name == "ltx2":
            mean, std = net.latents_mean.view(shape), net.latents_std.view(shape)
            wanted = (raw - mean) * net.config.scaling_factor / std
        else:
            mean = torch.tensor(net.config.latents_mean).view(shape)
            wanted = (raw - mean) * (1 / torch.tensor(net.config.latents_std).view(shape))
        shown = net.decode(raw).sample.clamp(-1, 1)
    latent = vae.encode(pixels)
    torch.testing.assert_close(latent, wanted)
    torch.testing.assert_close(vae.decode(latent), shown, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_spread_is_in_the_units_of_the_latents(folder, name):
    """Catches a standard deviation stored beside standardised means in the network's own units."""
    vae, pixels = load_video_vae(folder / name), clip(SPECS[name])
    found = vae.net.encode(pixels).latent_dist
    torch.manual_seed(3)
    noise = torch.randn_like(found.mean)
    drawn = (found.mean + found.std * noise - vae.mean_stat) / vae.std_stat
    mean, std = vae.posterior(pixels)
    torch.testing.assert_close(mean + std * noise, drawn, atol=1e-4, rtol=1e-4)
    assert (std > 0).all()


# HunyuanVideo's first has group norms over the whole clip: its latents depend on what follows
@pytest.mark.parametrize("name", [name for name in NAMES if name != "hunyuan_first"])
def test_latents_of_a_prefix_are_the_prefix_of_the_latents(folder, name):
    """Catches a class that is not causal: known beginnings would be encoded with what follows."""
    vae, pixels = load_video_vae(folder / name), clip(SPECS[name])
    whole = vae.encode(pixels)
    for count in (1, 2):
        part = vae.encode(pixels[:, :, : 1 + (count - 1) * vae.spec.time])
        torch.testing.assert_close(part, whole[:, :, :count], atol=1e-5, rtol=1e-5)


def test_strides_that_the_weights_do_not_have_are_refused(tmp_path):
    """Catches a config that lies: diffusers computes 64 and 16 for LTX-2 where it does not say."""
    save_video(tmp_path, "ltx2", spatial_compression_ratio=None, temporal_compression_ratio=None)
    with pytest.raises(ValueError, match=r"1 of 16 frames and 64 pixels; .* gave \(8, 3, 4, 4\)"):
        load_video_vae(tmp_path)


def test_a_decoder_that_draws_noise_is_refused(tmp_path):
    """Catches clip.json promising bytes that a noisy decoder cannot give twice."""
    save_video(tmp_path, "ltx2", decoder_inject_noise=(True, False, False, False))
    with pytest.raises(ValueError, match="draws noise"):
        load_video_vae(tmp_path)


def test_every_class_is_tried():
    """Catches a class that is offered and never loaded by a test."""
    assert {type(make()).__name__ for make in VIDEO.values()} == set(KINDS)
