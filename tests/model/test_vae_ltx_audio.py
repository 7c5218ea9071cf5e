"""LTX-2's audio autoencoder and vocoder: mel frames, length, both sides, rates."""

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

from model.geometry import AudioSpec, Geometry, VideoSpec
from model.vae import load_audio_vae
from tests.tiny_vaes import save_audio, vocoder, wide_vocoder

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_audio(tmp_path_factory.mktemp("ltx2"))


@pytest.fixture(scope="module")
def vae(folder):
    return load_audio_vae(folder)


def noise(samples, channels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, samples, generator=generator) - 0.5


def test_mel_frames_are_those_of_librosa(vae):
    """Catches another window, scale, norm or centre than the weights were trained with."""
    sound = noise(16_123)
    ours = vae.mel(sound)[0].numpy()
    bands = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=16)
    window = scipy.signal.get_window("hann", 1024)
    for side, heard in zip(ours, sound[0].double().numpy(), strict=True):
        padded = np.pad(heard, 512, mode="reflect")
        pieces = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::160]
        mel = bands @ np.abs(np.fft.rfft(pieces * window)).T
        np.testing.assert_allclose(side.T, np.log(np.maximum(mel, 1e-5)), atol=2e-4)
    assert vae.mel(torch.zeros(1, 2, 100)).max() == pytest.approx(np.log(1e-5))


def test_length_follows_from_the_pictures_duration(vae):
    """Catches a latent more or less at the end of a clip: every rounding of half a hop is tried."""
    assert vae.spec == AudioSpec(8, RATE, hop=640, lead=480)
    video = VideoSpec(8, 8, 32)
    for frames, fps in ((1, 24), (9, 30), (17, 24), (25, 24), (33, 29.97), (49, 25), (121, 50)):
        size = Geometry(frames, 32, 32, fps, video, vae.spec)
        assert size.audio_latents == max(1, round(frames / fps * 25))
        assert tuple(vae.encode(noise(size.samples)).shape) == (1, *size.audio_shape)


def test_latents_are_packed_and_scaled_as_in_the_pipeline(vae):
    """Catches statistics laid over the wrong axis: they belong to channel and mel row together."""
    sound = noise(RATE)
    with torch.no_grad():
        raw = vae.net.encode(vae.mel(sound)[:, :, :97]).latent_dist.mode()  # [1,2,25,4]
    packed = raw.transpose(1, 2).flatten(2, 3)  # of LTX2Pipeline: [B,L,C·M]
    wanted = (packed - vae.net.latents_mean) / vae.net.latents_std
    torch.testing.assert_close(vae.encode(sound), wanted.mT)
    assert torch.equal(vae.encode(sound), vae.encode(sound))


def test_time_is_causal_and_on_the_clips_clock(vae):
    """Catches sound that is 30 ms late against the picture, for the model's positions."""
    long, short = noise(RATE), noise(RATE)[..., : 10 * 640 - 300]
    torch.testing.assert_close(vae.encode(short)[..., :9], vae.encode(long)[..., :9])
    times = Geometry(25, 32, 32, 25.0, VideoSpec(8, 8, 32), vae.spec).audio_times()
    # latent 0 is mel frame 0, until 10 ms; each later one covers 40 ms and ends at 50, 90 ...
    assert times[:3].tolist() == pytest.approx([0.005, 0.030, 0.070])
    plain = Geometry(9, 64, 64, 8.0).audio_times()
    assert plain[:2].tolist() == pytest.approx([0.04, 0.12]), "without a lead nothing moves"
    # frames up to 9·40 ms and no later decide what nine latents hear
    late = long.clone()
    late[..., int((8 * 0.04 + 0.001) * RATE) + 512 :] = 0
    torch.testing.assert_close(vae.encode(late)[..., :9], vae.encode(long)[..., :9])
    assert not torch.allclose(vae.encode(late)[..., 10:], vae.encode(long)[..., 10:])


def test_both_sides_are_heard(vae):
    """Catches stereo folded to one channel, and mono heard on one side only."""
    left = noise(RATE)
    left[:, 1] = 0
    right = left.flip(1)
    assert not torch.allclose(vae.encode(left), vae.encode(right))
    one = noise(RATE, channels=1)
    assert torch.equal(vae.encode(one), vae.encode(one.repeat(1, 2, 1)))
    with pytest.raises(ValueError, match=r"must be \[B,2,S\]"):
        vae.encode(noise(RATE, channels=3))


@pytest.mark.parametrize(("voice", "rate"), [(vocoder, 24_000), (wide_vocoder, 48_000)])
def test_sound_comes_back_as_long_as_the_clip(tmp_path, voice, rate):
    """Catches a film whose sound is longer or shorter than its picture, or at a wrong rate."""
    vae = load_audio_vae(save_audio(tmp_path, voice))
    assert vae.decoded_rate == rate
    for samples in (640, 16_000, 16_213):
        latent = vae.encode(noise(samples))
        back = vae.decode(latent, samples=samples)
        assert tuple(back.shape) == (1, 2, round(samples * rate / RATE))
        assert torch.equal(back, vae.decode(latent, samples=samples))
        assert torch.isfinite(back).all()
        assert back.abs().max() <= 1
    assert vae.decode(latent).shape[2] == latent.shape[2] * rate // 25
    heard = (latent.shape[2] * 4 - 3) * rate // 100  # the vocoder's own length: 4L − 3 mel frames
    assert back[..., heard - rate // 100 : heard].abs().max() > 0
    assert not back[..., heard:].any()


def test_a_pair_that_does_not_belong_together_is_refused(tmp_path):
    """Catches a vocoder of another model, of another rate, or none."""
    save_audio(tmp_path / "bands", mel_bins=32, base_channels=16)
    with pytest.raises(ValueError, match="hears 32 bands, the autoencoder gives 64"):
        load_audio_vae(tmp_path / "bands")
    save_audio(tmp_path / "rate", mel_hop_length=200)
    with pytest.raises(ValueError, match="makes 240 samples of a mel frame of 200"):
        load_audio_vae(tmp_path / "rate")
    save_audio(tmp_path / "stats", base_channels=16)
    with pytest.raises(ValueError, match="latents have 8"):
        load_audio_vae(tmp_path / "stats")
    save_audio(tmp_path / "axis", causality_axis="width")
    with pytest.raises(ValueError, match="causality_axis"):
        load_audio_vae(tmp_path / "axis")
    save_audio(tmp_path / "alone")
    (tmp_path / "alone" / "vocoder" / "config.json").unlink()
    with pytest.raises(ValueError, match="no vocoder beside it"):
        load_audio_vae(tmp_path / "alone" / "audio_vae")
