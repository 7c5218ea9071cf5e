"""The embedded audio autoencoder: log-mel patches, a PCA path with a convolution stack on top.

Sound becomes 80 mel bands every 10 ms; eight frames (80 ms, one hop of 1280 samples) make one
latent of 32 channels. As for video, a linear path starts as a PCA and a residual stack starts at
zero. The decoder goes on from mel bands to the amplitudes of all frequencies, and Griffin-Lim
turns those into samples: no weights to download, and no network that invents phase.

Letters: B sounds, S samples, L latents, C latent channels, D features, N frames, M mel bands,
K frequency bins.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as fn

from model import vocoder
from model.geometry import AudioSpec


@dataclass(frozen=True)
class AudioVAEConfig:
    """Size of the audio autoencoder."""

    channels: int = 32
    hop: int = 1_280
    mels: int = 80
    width: int = 128
    encoder_blocks: int = 2
    decoder_blocks: int = 4
    frame_width: int = 160


class Block(nn.Module):
    """A residual step over three neighbours in time; starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Conv1d(width, width, 3, padding=1)
        self.mix = nn.Conv1d(width, width, 1)
        for weight in self.mix.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B,D,L] to the same."""
        mixed: Tensor = self.mix(fn.silu(self.near(x)))
        return x + mixed


class AudioVAE(nn.Module):
    """Sound [B,1,S] in −1…1 at 16 kHz to standardised latents [B,C,L] and back."""

    mean_stat: Tensor
    std_stat: Tensor
    bands: Tensor
    spread: Tensor

    def __init__(self, config: AudioVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = AudioSpec(config.channels, vocoder.RATE, config.hop)
        self.fingerprint = ""
        self.sounds, self.decoded_rate = 1, vocoder.RATE
        patch = config.mels * self.frames
        self.pca_in = nn.Linear(patch, config.channels)
        self.pca_out = nn.Linear(config.channels, patch)
        self.enter = nn.Conv1d(patch, config.width, 1)
        self.encoder = nn.ModuleList(Block(config.width) for _ in range(config.encoder_blocks))
        self.to_latent = nn.Conv1d(config.width, config.channels, 1)
        self.from_latent = nn.Conv1d(config.channels, config.width, 3, padding=1)
        self.decoder = nn.ModuleList(Block(config.width) for _ in range(config.decoder_blocks))
        self.leave = nn.Conv1d(config.width, patch, 1)
        self.fine_enter = nn.Conv1d(config.mels, config.frame_width, 3, padding=1)
        self.fine = Block(config.frame_width)
        self.fine_leave = nn.Conv1d(config.frame_width, vocoder.BINS, 1)
        for layer in (self.to_latent, self.leave, self.fine_leave):
            for weight in layer.parameters():
                nn.init.zeros_(weight)
        bands = vocoder.mel_bands(config.mels)
        self.register_buffer("bands", bands, persistent=False)
        # Between band centres the loudness of a bin is that of its bands, weighted by overlap.
        overlap = bands.T / bands.sum(0).clamp(min=1e-6)[:, None]
        overlap[bands.sum(0) < 1e-6] = fn.one_hot(torch.tensor(0), config.mels).float()
        self.register_buffer("spread", overlap, persistent=False)
        self.register_buffer("mean_stat", torch.full((config.channels,), torch.nan))
        self.register_buffer("std_stat", torch.full((config.channels,), torch.nan))

    @property
    def frames(self) -> int:
        """Mel frames of one latent."""
        return self.config.hop // vocoder.HOP

    def encode(self, sound: Tensor) -> Tensor:
        """[B,1,S] to [B,C,L] with L = round(S/hop), at least 1."""
        raw = self.encode_raw(self.patches(self.loudness(sound)[0]))
        return (raw - self.mean_stat[:, None]) / self.std_stat[:, None]

    def decode(self, latent: Tensor, samples: int | None = None) -> Tensor:
        """[B,C,L] to [B,1,samples] (default L·hop), clipped to −1…1."""
        if latent.ndim != 3 or latent.shape[1] != self.config.channels:
            raise ValueError(
                f"latent has shape {tuple(latent.shape)}; it must be [B,{self.config.channels},L]"
            )
        raw = latent * self.std_stat[:, None] + self.mean_stat[:, None]
        mel = self.decode_raw(raw)
        sound = vocoder.griffin_lim(self.amplitudes(mel))
        wanted = sound.shape[-1] if samples is None else samples
        return fn.pad(sound, (0, max(0, wanted - sound.shape[-1])))[:, None, :wanted].clamp(-1, 1)

    def loudness(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Loudness of mel bands [B,M,N] and of bins [B,K,N], fitted to whole latents."""
        if sound.ndim != 3 or sound.shape[1] != 1:
            raise ValueError(f"sound has shape {tuple(sound.shape)}; it must be [B,1,S]")
        size = max(1, round(sound.shape[2] / self.config.hop)) * self.config.hop
        fitted = fn.pad(sound, (0, max(0, size - sound.shape[2])))[:, 0, :size]
        amplitudes = vocoder.magnitudes(fitted)
        mel = torch.einsum("mk,bkn->bmn", self.bands, amplitudes)
        return vocoder.loudness(mel), vocoder.loudness(amplitudes)

    def patches(self, mel: Tensor) -> Tensor:
        """[B,M,N] to [B,L,M·8]."""
        return rearrange(mel, "b m (l f) -> b l (m f)", f=self.frames)

    def encode_raw(self, patches: Tensor) -> Tensor:
        """[B,L,M·8] to [B,C,L] before standardisation, for training."""
        x = self.enter(patches.mT)
        for block in self.encoder:
            x = block(x)
        return self.pca_in(patches).mT + self.to_latent(x)

    def decode_raw(self, raw: Tensor) -> Tensor:
        """[B,C,L] to the loudness of mel bands [B,M,N], for training."""
        x = self.from_latent(raw)
        for block in self.decoder:
            x = block(x)
        patches = self.pca_out(raw.mT) + self.leave(x).mT
        return rearrange(patches, "b l (m f) -> b m (l f)", f=self.frames)

    def fine_loudness(self, mel: Tensor) -> Tensor:
        """Mel bands [B,M,N] to the loudness of all bins [B,K,N]."""
        coarse = torch.einsum("km,bmn->bkn", self.spread, mel)
        fine: Tensor = self.fine_leave(self.fine(fn.silu(self.fine_enter(mel))))
        return coarse + fine

    def amplitudes(self, mel: Tensor) -> Tensor:
        """Mel bands [B,M,N] to amplitudes [B,K,N] whose bands have the level of `mel`.

        Bins alone are medians of what was heard: a steady tone of 3 kHz came out 15 dB too low,
        with two rounds of this it is 6 dB.
        """
        wanted = vocoder.amplitude(mel)
        bins = vocoder.amplitude(self.fine_loudness(mel))
        for _ in range(2):
            heard = torch.einsum("mk,bkn->bmn", self.bands, bins).clamp(min=1e-6)
            gain = torch.einsum("km,bmn->bkn", self.spread, wanted / heard)
            bins = bins * gain.clamp(0.1, 10)
        return bins
