"""The embedded video autoencoder: a linear (PCA) path plus a causal convolution stack on top.

The picture is cut into patches: the first frame alone into 8x8 pixels, every four later frames
into 4x8x8. A linear path takes a patch to 16 channels and back and starts as the PCA of films. A
residual stack beside it, all at latent resolution, starts at zero, so training starts at the
quality of the PCA and only improves it. Time is causal: a latent sees its own frames and earlier
ones, therefore the latents of a prefix are the prefix of the latents.

Letters: B clips, F frames, T latent frames, H W pixels, h w latent rows and columns, C latent
channels, D features of the stack.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as fn

from model.geometry import VideoSpec, check_pixels


@dataclass(frozen=True)
class VideoVAEConfig:
    """Size of the video autoencoder."""

    channels: int = 16
    time: int = 4
    space: int = 8
    width: int = 128
    encoder_blocks: int = 3
    decoder_blocks: int = 7


class Block(nn.Module):
    """A residual step: 3x3 in space, then a mix of this and the previous latent frame.

    The last layer starts at zero, so that the block starts as the identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(width, width, 3, padding=1)
        self.now = nn.Conv2d(width, width, 1)
        self.before = nn.Conv2d(width, width, 1, bias=False)
        for layer in (self.now, self.before):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """[B·T,D,h,w] to the same, `frames` = T."""
        inner = fn.silu(self.space(x))
        return x + self.now(inner) + _later(self.before(inner), frames)


def _later(x: Tensor, frames: int) -> Tensor:
    """Move every clip one latent frame later, zeros in front: [B·T,D,h,w]."""
    clips = rearrange(x, "(b t) d h w -> b t d h w", t=frames)
    moved = torch.cat([torch.zeros_like(clips[:, :1]), clips[:, :-1]], dim=1)
    return rearrange(moved, "b t d h w -> (b t) d h w")


class Patches(nn.Module):
    """A linear map of patches, one for the first frame and one for groups of later frames.

    `into` features from patches when `down`, else patches from `into` features.
    """

    def __init__(self, config: VideoVAEConfig, features: int, down: bool) -> None:
        super().__init__()
        still = 3 * config.space**2
        moving = still * config.time
        self.first = nn.Linear(still, features) if down else nn.Linear(features, still)
        self.later = nn.Linear(moving, features) if down else nn.Linear(features, moving)

    def forward(self, first: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors [B,T,h,w,·] to two tensors [B,T,h,w,·]."""
        return self.first(first), self.later(later)


class VideoVAE(nn.Module):
    """Pixels [B,3,F,H,W] in −1…1 to standardised latents [B,C,T,h,w] and back.

    H and W are multiples of 8 and F is 1 + 4k; anything else is a ValueError.
    """

    mean_stat: Tensor
    std_stat: Tensor

    def __init__(self, config: VideoVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = VideoSpec(config.channels, config.time, config.space)
        self.fingerprint = ""
        self.pca_in = Patches(config, config.channels, down=True)
        self.pca_out = Patches(config, config.channels, down=False)
        self.enter = Patches(config, config.width, down=True)
        self.encoder = nn.ModuleList(Block(config.width) for _ in range(config.encoder_blocks))
        self.to_latent = nn.Conv2d(config.width, config.channels, 1)
        self.from_latent = nn.Conv2d(config.channels, config.width, 3, padding=1)
        self.decoder = nn.ModuleList(Block(config.width) for _ in range(config.decoder_blocks))
        self.leave = Patches(config, config.width, down=False)
        for layer in (self.to_latent, self.leave.first, self.leave.later):
            for weight in layer.parameters():
                nn.init.zeros_(weight)
        self.register_buffer("mean_stat", torch.full((config.channels,), torch.nan))
        self.register_buffer("std_stat", torch.full((config.channels,), torch.nan))

    def encode(self, pixels: Tensor) -> Tensor:
        """[B,3,F,H,W] to [B,C,T,h,w], zero mean and unit variance a channel."""
        return (self.encode_raw(pixels) - _channels(self.mean_stat)) / _channels(self.std_stat)

    def decode(self, latent: Tensor) -> Tensor:
        """[B,C,T,h,w] to [B,3,F,H,W], clipped to −1…1."""
        if latent.ndim != 5 or latent.shape[1] != self.config.channels:
            raise ValueError(
                f"latent has shape {tuple(latent.shape)}; "
                f"it must be [B,{self.config.channels},T,h,w]"
            )
        raw = latent * _channels(self.std_stat) + _channels(self.mean_stat)
        return self.decode_raw(raw).clamp(-1, 1)

    def encode_raw(self, pixels: Tensor) -> Tensor:
        """`encode` before standardisation, for training."""
        first, later = self.split(pixels)
        linear = _join(*self.pca_in(first, later))  # [B,T,h,w,C]
        x, frames = _fold(_join(*self.enter(first, later)))
        for block in self.encoder:
            x = block(x, frames)
        return rearrange(linear, "b t h w c -> b c t h w") + _unfold(self.to_latent(x), frames)

    def decode_raw(self, raw: Tensor) -> Tensor:
        """`decode` of latents before standardisation, not clipped, for training."""
        cells = rearrange(raw, "b c t h w -> b t h w c")
        x, frames = _fold(cells)
        x = self.from_latent(x)
        for block in self.decoder:
            x = block(x, frames)
        deep = rearrange(x, "(b t) d h w -> b t h w d", t=frames)
        first, later = self.pca_out(cells[:, :1], cells[:, 1:])
        first_deep, later_deep = self.leave(deep[:, :1], deep[:, 1:])
        return self.join(first + first_deep, later + later_deep)

    def split(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The patches of the first frame [B,1,h,w,192] and of later groups [B,T−1,h,w,768]."""
        size = self.config
        check_pixels(pixels, self.spec)
        cut = {"p": size.space, "q": size.space}
        first = rearrange(pixels[:, :, :1], "b c t (h p) (w q) -> b t h w (c p q)", **cut)
        later = rearrange(
            pixels[:, :, 1:], "b c (t f) (h p) (w q) -> b t h w (f c p q)", f=size.time, **cut
        )
        return first, later

    def join(self, first: Tensor, later: Tensor) -> Tensor:
        """The inverse of `split`: [B,3,F,H,W]."""
        size = self.config
        cut = {"p": size.space, "q": size.space}
        still = rearrange(first, "b t h w (c p q) -> b c t (h p) (w q)", **cut)
        moving = rearrange(later, "b t h w (f c p q) -> b c (t f) (h p) (w q)", f=size.time, **cut)
        return torch.cat([still, moving], dim=2)


def _channels(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1, 1)


def _join(first: Tensor, later: Tensor) -> Tensor:
    return torch.cat([first, later], dim=1)


def _fold(cells: Tensor) -> tuple[Tensor, int]:
    """[B,T,h,w,D] to [B·T,D,h,w] in channels-last memory, and T."""
    return rearrange(cells, "b t h w d -> (b t) d h w"), cells.shape[1]


def _unfold(x: Tensor, frames: int) -> Tensor:
    return rearrange(x, "(b t) d h w -> b d t h w", t=frames)
