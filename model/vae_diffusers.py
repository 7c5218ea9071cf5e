"""Video autoencoders of diffusers (Wan, LTX-2, HunyuanVideo and its 1.5) behind our interface.

Each class has its own way to say strides and scale; here all become one: pixels in −1…1 to latents
that are standardised as that model's own pipeline standardises them, and back. What is encoded is
the posterior's mean.

Letters: B clips, F frames, T latent frames, H W pixels, h w latent rows and columns, C channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.geometry import VideoSpec, check_pixels
from model.vae_folder import Saved, find_saved, fingerprint_of, load

Network = Any  # a module of diffusers


@dataclass(frozen=True)
class Facts:
    """Sizes, and by channel [C] what makes a latent standardised: (raw − mean) / std."""

    spec: VideoSpec
    mean: Tensor
    std: Tensor


def wan(net: Network) -> Facts:
    """diffusers/pipelines/wan: (z − latents_mean) / latents_std."""
    c = net.config
    spec = VideoSpec(c.z_dim, c.scale_factor_temporal, c.scale_factor_spatial)
    return Facts(spec, torch.tensor(c.latents_mean), torch.tensor(c.latents_std))


def hunyuan(net: Network) -> Facts:
    """diffusers/pipelines/hunyuan_video and hunyuan_video1_5: z * scaling_factor."""
    c = net.config
    spec = VideoSpec(c.latent_channels, c.temporal_compression_ratio, c.spatial_compression_ratio)
    return Facts(spec, torch.zeros(spec.channels), torch.ones(spec.channels) / c.scaling_factor)


def ltx2(net: Network) -> Facts:
    """diffusers/pipelines/ltx2: (z − latents_mean) * scaling_factor / latents_std."""
    c = net.config
    spec = VideoSpec(
        c.latent_channels, net.temporal_compression_ratio, net.spatial_compression_ratio
    )
    return Facts(spec, net.latents_mean.float(), net.latents_std.float() / c.scaling_factor)


KINDS: dict[str, Callable[[Network], Facts]] = {
    "AutoencoderKLWan": wan,
    "AutoencoderKLHunyuanVideo": hunyuan,
    "AutoencoderKLHunyuanVideo15": hunyuan,
    "AutoencoderKLLTX2Video": ltx2,
}


class DiffusersVideo(nn.Module):
    """Pixels [B,3,F,H,W] in −1…1 to standardised latents [B,C,T,h,w] and back.

    H and W are multiples of the spatial stride and F is 1 + k times the temporal one; anything else
    is a ValueError. On a GPU the network computes in bfloat16, on a CPU in float32.
    """

    mean_stat: Tensor
    std_stat: Tensor

    def __init__(self, net: Network, kind: str, fingerprint: str) -> None:
        super().__init__()
        self.net = net
        self.kind = kind
        facts = KINDS[kind](net)
        self.spec, self.fingerprint = facts.spec, fingerprint
        self.register_buffer("mean_stat", facts.mean.view(1, -1, 1, 1, 1))
        self.register_buffer("std_stat", facts.std.view(1, -1, 1, 1, 1))

    def encode(self, pixels: Tensor) -> Tensor:
        """The posterior's mean: [B,3,F,H,W] to [B,C,T,h,w], standardised, float32."""
        return self.posterior(pixels)[0]

    @torch.no_grad()
    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents, both in standardised units, float32."""
        check_pixels(pixels, self.spec)
        found = self.net.encode(pixels.to(self.net.dtype)).latent_dist
        mean = (found.mean.float() - self.mean_stat) / self.std_stat
        return mean, found.std.float() / self.std_stat

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """[B,C,T,h,w] to [B,3,F,H,W], clipped to −1…1, float32."""
        if latent.ndim != 5 or latent.shape[1] != self.spec.channels:
            raise ValueError(
                f"latent has shape {tuple(latent.shape)}; it must be [B,{self.spec.channels},T,h,w]"
            )
        raw = latent * self.std_stat + self.mean_stat
        pixels: Tensor = self.net.decode(raw.to(self.net.dtype)).sample
        return pixels.float().clamp(-1, 1)


def load_diffusers_video(name: str, device: torch.device) -> DiffusersVideo:
    """The video autoencoder of a folder or hub id, on `device`. Raises ValueError."""
    saved = find_saved(name, "vae")
    _refuse_noise(saved)
    net = load(saved, dict.fromkeys(KINDS, "diffusers"), compute_type(device))
    vae = DiffusersVideo(net, saved.kind, fingerprint_of(saved)).to(device).eval()
    _check_strides(vae, device)
    return vae


def compute_type(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU, float32 elsewhere: a CPU is slower in half precision."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _refuse_noise(saved: Saved) -> None:
    """A decoder that draws noise would give other pixels each time."""
    inject = saved.config.get("decoder_inject_noise", False)
    noisy = inject if isinstance(inject, bool) else any(inject)
    if noisy or saved.config.get("timestep_conditioning"):
        raise ValueError(
            f"{saved.folder}: its decoder draws noise (decoder_inject_noise, timestep_conditioning)"
            "; a clip would not decode to the same pixels twice"
        )


def _check_strides(vae: DiffusersVideo, device: torch.device) -> None:
    """One small clip through the encoder: some configurations say strides that are not so."""
    size = vae.spec
    side = 2 * size.space
    latent = vae.encode(torch.zeros(1, 3, 1 + size.time, side, side, device=device))
    if tuple(latent.shape) != (1, size.channels, 2, 2, 2):
        raise ValueError(
            f"{vae.kind} says that it makes {size.channels} channels, 1 of {size.time} frames and "
            f"{size.space} pixels; {1 + size.time} frames of {side}x{side} gave "
            f"{tuple(latent.shape[1:])}: its config.json is not of these weights"
        )
