"""The video autoencoder: shapes, causality, statistics and quality."""

import math

import numpy as np
import pytest
import torch

from curation.media import MediaReader
from curation.world.config import WorldConfig
from curation.world.film import make_clean_film
from jobs.demo import SAMPLES
from jobs.samples import fetch
from jobs.vae_data import film_reel, held_out_clips, to_tensor, world_config
from jobs.vae_video import psnr, restored
from model.vae import load_video_vae
from model.vae_video import VideoVAE, VideoVAEConfig


@pytest.fixture(scope="module")
def vae():
    return load_video_vae("embedded")


@pytest.fixture(scope="module")
def films():
    """Three films of the simplest world that no training saw, [3,3,17,64,64]."""
    config = WorldConfig(seed=991, fps=8.0)
    pixels = np.stack([make_clean_film(config, index).pixels[:17] for index in range(3)])
    return torch.from_numpy(pixels).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def ramp(frames, height, width):
    """A picture that differs in every frame and place."""
    t, y, x = torch.meshgrid(
        *(torch.linspace(0, 1, n) for n in (frames, height, width)), indexing="ij"
    )
    waves = [torch.sin(6 * x + 3 * t), torch.sin(9 * y - 4 * t), torch.cos(5 * x * y + t)]
    return 0.8 * torch.stack(waves)[None]


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 8, 8), (5, 40, 72), (13, 24, 56)])
def test_every_size_of_whole_latents_goes_in_and_out(vae, frames, height, width):
    """Fails when a size that the geometry allows is refused, or comes back as another size."""
    pixels = ramp(frames, height, width)
    latent = vae.encode(pixels)
    assert latent.shape == (1, 16, 1 + (frames - 1) // 4, height // 8, width // 8)
    assert vae.decode(latent).shape == pixels.shape


@pytest.mark.parametrize("shape", [(1, 3, 4, 16, 16), (1, 3, 5, 20, 16), (3, 5, 16, 16)])
def test_other_sizes_are_refused_by_name(vae, shape):
    """Fails when a wrong size is padded or cut in silence."""
    with pytest.raises(ValueError, match="must be"):
        vae.encode(torch.zeros(shape))


def test_the_latents_of_a_prefix_are_the_prefix_of_the_latents(vae):
    """Fails when a latent sees later frames: extension and streaming would then not line up."""
    pixels = ramp(17, 32, 48)
    whole, part = vae.encode(pixels), vae.encode(pixels[:, :, :9])
    torch.testing.assert_close(whole[:, :, :3], part, rtol=0, atol=1e-4)
    torch.testing.assert_close(
        vae.decode(whole)[:, :, :9], vae.decode(whole[:, :, :3]), rtol=0, atol=1e-4
    )


def test_a_clip_does_not_depend_on_its_neighbours_in_the_batch(vae):
    """Fails when frames of one clip leak into the next through the folded batch axis."""
    first, second = ramp(9, 16, 16), -ramp(9, 16, 16).flip(2)
    both = vae.encode(torch.cat([first, second]))
    torch.testing.assert_close(both[1:], vae.encode(second), rtol=0, atol=1e-4)


def test_latents_of_films_are_standardised(vae, films):
    """Fails when the statistics were not stored: the flow would start from another scale."""
    latent = vae.encode(films)
    assert abs(float(latent.mean())) < 0.5
    assert 0.3 < float(latent.std()) < 2.0
    assert float(latent.abs().max()) < 20


def test_films_of_the_world_come_back_at_30_db(vae, films):
    """Fails when the shipped weights are worse than the bar on generated films of 64 pixels."""
    back = vae.decode(vae.encode(films))
    error = float(((back - films) / 2).square().mean())
    assert -10 * math.log10(error) >= 30


def test_every_shape_and_background_comes_back_at_30_db(vae):
    """Fails when the shipped weights keep the bar on plain walls only."""
    config = world_config(64, 8.0, varied=True)
    errors = []
    for index in range(10_000, 10_024):  # training saw the first 360
        pixels = to_tensor(make_clean_film(config, index).pixels[:17])[None]
        errors.append(((vae.decode(vae.encode(pixels)) - pixels) / 2).square().mean())
    assert -10 * math.log10(float(torch.stack(errors).mean())) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("fps", [24.0, 8.0])
def test_a_real_film_comes_back_at_28_db(vae, tmp_path, fps):
    """Fails when weights that suit the generated films ship: fetches Big Buck Bunny."""
    fetch(SAMPLES)
    with MediaReader() as reader:
        reel = film_reel(tmp_path, SAMPLES / "bbb.mp4", reader)
    clips = list(held_out_clips(reel, 17, fps, 60))
    assert len(clips) > 50
    assert psnr([restored(vae, clip) for clip in clips], clips) >= 28


def test_latents_survive_noise(vae, films):
    """Fails when the decoder is so sharp in its latents that sampled ones would break up."""
    latent = vae.encode(films)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
    clean, noisy = vae.decode(latent), vae.decode(latent + 0.1 * noise)
    assert float(((clean - noisy) / 2).square().mean()) < 1e-3  # 30 dB from the clean picture


def test_untrained_statistics_are_not_a_number():
    """Fails when an autoencoder without weights passes for one: its latents must not look fine."""
    empty = VideoVAE(VideoVAEConfig(width=8, encoder_blocks=1, decoder_blocks=1))
    assert torch.isnan(empty.encode(torch.zeros(1, 3, 1, 8, 8))).all()
