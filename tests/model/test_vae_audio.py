"""The audio autoencoder and its vocoder: time of impacts, pitch, silence, exact lengths."""

import librosa
import numpy as np
import pytest
import torch

from curation.sound import onsets
from curation.world.config import WorldConfig
from curation.world.film import make_clean_film
from model import vocoder
from model.geometry import Geometry
from model.vae import load_audio_vae

RATE = 16_000


@pytest.fixture(scope="module")
def vae():
    return load_audio_vae("embedded")


def film_sound(index):
    """The sound of a film that no training saw, [1,1,S]."""
    film = make_clean_film(WorldConfig(seed=991, seconds=(3.125, 3.125)), index)
    return torch.from_numpy(film.samples[:1])[None]


@pytest.mark.parametrize("frames", [1, 17, 21, 33])
def test_latents_and_samples_count_as_the_geometry_says(vae, frames):
    """Fails when sound makes another number of latents than the clock, or another length."""
    geometry = Geometry(frames, 64, 64, 8.0)
    latent = vae.encode(torch.zeros(2, 1, geometry.samples))
    assert latent.shape == (2, *geometry.audio_shape)
    for samples in (geometry.samples, 1, 12_345):
        assert vae.decode(latent, samples=samples).shape == (2, 1, samples)


def test_impacts_keep_their_time(vae):
    """Fails when a sound moves by more than 10 ms through encode and decode."""
    found = []
    for index in range(4):
        sound = film_sound(index)
        back = vae.decode(vae.encode(sound), samples=sound.shape[2])
        before, after = (onsets(x[0, 0].numpy(), RATE) for x in (sound, back))
        found += [min(abs(after - time), default=9.0) for time in before]
    assert len(found) >= 8
    assert np.mean(np.array(found) <= 0.0101) >= 0.85  # an onset is told in steps of 5 ms


def test_silence_stays_silent(vae):
    """Fails when the decoder hums where there was nothing (-66 dB of full scale is the limit)."""
    back = vae.decode(vae.encode(torch.zeros(1, 1, 32_000)), samples=32_000)
    assert float(back.abs().max()) < 5e-4


@pytest.mark.parametrize("pitch", [220.0, 440.0, 880.0, 1760.0])
def test_a_tone_keeps_its_pitch_and_level(vae, pitch):
    """Fails when pitch moves by more than a semitone or level by more than 3 dB."""
    time = torch.arange(2 * RATE) / RATE
    tone = 0.3 * torch.sin(2 * torch.pi * pitch * time) * torch.exp(-time)
    back = vae.decode(vae.encode(tone[None, None]), samples=len(tone))[0, 0]
    heard = torch.fft.rfft(back * torch.hann_window(len(tone))).abs()
    peak = float(heard.argmax()) * RATE / len(tone)
    assert abs(12 * np.log2(peak / pitch)) < 1
    assert abs(20 * np.log10(float(back.std() / tone.std()))) < 3


def test_bands_are_librosas():
    """Fails when our mel filters differ from the ones that everyone measures with."""
    theirs = librosa.filters.mel(sr=RATE, n_fft=vocoder.SIZE, n_mels=80, norm=None)
    np.testing.assert_allclose(vocoder.mel_bands(80).numpy(), theirs, atol=1e-5)


def test_spectrum_is_inverted_exactly_and_frames_sit_on_their_time():
    """Fails when the window sum is wrong or a frame is not centred half a hop into its hop."""
    noise = torch.randn(2, 9_600, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(vocoder.inverse(vocoder.spectrum(noise)), noise, atol=1e-4, rtol=0)
    click = torch.zeros(1, 3_200)
    click[0, 10 * vocoder.HOP + vocoder.HOP // 2] = 1
    assert int(vocoder.magnitudes(click).sum(1).argmax()) == 10


def test_decoding_twice_gives_the_same_samples(vae):
    """Fails when Griffin-Lim starts from a random phase: a seed would no longer name a clip."""
    latent = vae.encode(film_sound(0))
    assert torch.equal(vae.decode(latent), vae.decode(latent))
