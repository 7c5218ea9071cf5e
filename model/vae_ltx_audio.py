"""LTX-2's audio autoencoder and vocoder behind our interface.

Stereo at 16 kHz becomes log-mel pictures (a frame every 10 ms), four frames and all mel bins become
one latent: 25 a second. The encoder is causal: latent 0 sees mel frame 0 alone, so L latents cover
4L − 3 frames, and each later latent's centre lies three frames before that of its 40 ms. Mel frames
and scale are those of Lightricks' ltx-core (torchaudio's MelSpectrogram: 1024-point Hann window,
centred, magnitudes, Slaney's bands and norm; log of at least 1e-5). Decoding ends with the vocoder,
which may give another rate than 16 kHz.

Letters: B sounds, S samples, L latents, C the network's channels, M mel rows of a latent, N frames.
"""

import math
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as fn

from model.geometry import AudioSpec
from model.vae_diffusers import compute_type
from model.vae_folder import (
    CONFIG,
    Saved,
    find_saved,
    fingerprint_of,
    is_hub_id,
    load,
    read_saved,
)
from model.vocoder import mel_bands

SIZE = 1024  # of a Fourier transform; not in diffusers' configuration
FLOOR = 1e-5
STEP = 4  # mel frames of a latent
AUTOENCODERS = {"AutoencoderKLLTX2Audio": "diffusers"}
VOCODERS = dict.fromkeys(("LTX2Vocoder", "LTX2VocoderWithBWE"), "diffusers.pipelines.ltx2.vocoder")


class Ltx2Audio(nn.Module):
    """Sound [B,1 or 2,S] in −1…1 at 16 kHz to standardised latents [B,C·M,L], and back in stereo.

    On a GPU the autoencoder computes in bfloat16; mel frames and vocoder in float32 everywhere.
    """

    bands: Tensor
    mean_stat: Tensor
    std_stat: Tensor

    def __init__(self, net: Any, vocoder: Any, fingerprint: str) -> None:  # noqa: ANN401
        super().__init__()
        size = net.config
        self.net, self.vocoder = net, vocoder
        self.rows = size.mel_bins // net.mel_compression_ratio
        hop = size.mel_hop_length * STEP
        channels = size.latent_channels * self.rows
        lead = (STEP - 1) * size.mel_hop_length
        self.spec = AudioSpec(channels, size.sample_rate, hop, lead)
        self.sounds = size.in_channels
        self.decoded_rate = vocoder.config.output_sampling_rate
        self.fingerprint = fingerprint
        bands = mel_bands(size.mel_bins, size.sample_rate, SIZE, equal_area=True)
        self.register_buffer("bands", bands, persistent=False)
        if net.latents_mean.shape != (channels,):
            raise ValueError(
                f"latents_mean has {tuple(net.latents_mean.shape)} values, latents have {channels} "
                "(latent_channels * mel_bins / 4): these weights are of another autoencoder"
            )
        self.register_buffer("mean_stat", net.latents_mean.float()[:, None])
        self.register_buffer("std_stat", net.latents_std.float()[:, None])

    @torch.no_grad()
    def encode(self, sound: Tensor) -> Tensor:
        """The posterior's mean: [B,1 or 2,S] to [B,C·M,L], L = round(S / hop), at least 1.

        A single channel is heard on both sides.
        """
        if sound.ndim != 3 or sound.shape[1] not in (1, self.sounds):
            raise ValueError(
                f"sound has shape {tuple(sound.shape)}; it must be [B,{self.sounds},S]"
            )
        count = max(1, round(sound.shape[2] / self.spec.hop))
        mel = self.mel(sound.expand(-1, self.sounds, -1))[:, :, : STEP * count - STEP + 1]
        raw = self.net.encode(mel.to(self.net.dtype)).latent_dist.mean.float()
        return (rearrange(raw, "b c l m -> b (c m) l") - self.mean_stat) / self.std_stat

    @torch.no_grad()
    def decode(self, latent: Tensor, samples: int | None = None) -> Tensor:
        """[B,C·M,L] to [B,2,S] at `decoded_rate`, clipped to −1…1.

        `samples` counts at 16 kHz (default L·hop). The vocoder ends 30 ms before the last latent
        does; that end is silent.
        """
        if latent.ndim != 3 or latent.shape[1] != self.spec.channels:
            raise ValueError(
                f"latent has shape {tuple(latent.shape)}; it must be [B,{self.spec.channels},L]"
            )
        raw = rearrange(
            latent * self.std_stat + self.mean_stat, "b (c m) l -> b c l m", m=self.rows
        )
        mel = self.net.decode(raw.to(self.net.dtype)).sample
        sound: Tensor = self.vocoder(mel.float())
        asked = latent.shape[2] * self.spec.hop if samples is None else samples
        wanted = round(asked * self.decoded_rate / self.spec.sample_rate)
        return fn.pad(sound, (0, max(0, wanted - sound.shape[2])))[:, :, :wanted].clamp(-1, 1)

    def mel(self, sound: Tensor) -> Tensor:
        """Log-mel frames [B,channels,N,bins] of [B,channels,S], frame n centred on n·10 ms."""
        flat = rearrange(sound.float(), "b c s -> (b c) s")
        flat = fn.pad(flat, (0, max(0, SIZE - flat.shape[1])))  # a shorter one cannot be mirrored
        spectra = torch.stft(
            flat,
            SIZE,
            self.net.config.mel_hop_length,
            window=torch.hann_window(SIZE, device=sound.device),
            return_complex=True,
        )
        mel = torch.einsum("mk,bkn->bnm", self.bands, spectra.abs())
        return rearrange(mel.clamp(min=FLOOR).log(), "(b c) n m -> b c n m", b=len(sound))


def load_ltx2_audio(name: str, device: torch.device) -> Ltx2Audio:
    """Audio autoencoder and vocoder of a folder or hub id, on `device`. Raises ValueError.

    The vocoder is beside the autoencoder (`audio_vae/`, `vocoder/`), as in LTX-2's own repository.
    """
    saved = find_saved(name, "audio_vae")
    if saved.config.get("causality_axis", "height") != "height":
        raise ValueError(f"{saved.folder}: causality_axis must be 'height', which is time")
    net = load(saved, AUTOENCODERS, compute_type(device))
    vocoder = _vocoder(name, saved)
    voice = load(vocoder, VOCODERS, torch.float32)
    heard = net.config.output_channels * net.config.mel_bins
    if voice.config.in_channels != heard:
        raise ValueError(
            f"the vocoder in {vocoder.folder} hears {voice.config.in_channels} bands, the "
            f"autoencoder gives {heard}: they are not of one model"
        )
    frame = math.prod(voice.config.upsample_factors)  # samples of its first stage
    rate = voice.config.get("input_sampling_rate", voice.config.output_sampling_rate)
    if frame * net.config.sample_rate != rate * net.config.mel_hop_length:
        raise ValueError(
            f"the vocoder in {vocoder.folder} makes {frame} samples of a mel frame of "
            f"{net.config.mel_hop_length} at {net.config.sample_rate} Hz, which is not {rate} Hz"
        )
    return Ltx2Audio(net, voice, fingerprint_of(saved, vocoder)).to(device).eval()


def _vocoder(name: str, saved: Saved) -> Saved:
    """The vocoder that belongs to an autoencoder. Raises ValueError."""
    if is_hub_id(name):
        return find_saved(name, "vocoder")
    folder = saved.folder.parent / "vocoder"
    if (folder / CONFIG).is_file():
        return read_saved(folder)
    raise ValueError(
        f"{saved.folder} has no vocoder beside it; put the one of its model into {folder}"
    )
