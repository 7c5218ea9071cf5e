"""Rotary positions on the physical clock: where a token is, in quarter seconds, rows and columns.

Position in time = seconds x 4, so that one four-frame latent at 16 fps is one unit. Picture and
sound share it; attention between the towers rotates by time alone, so that a picture and a sound
of the same instant get the same phase. The paper's clock (§3.1: latent index, audio times 21/218)
drifts 0.48 s over 15 s (research/skyreels_v4.md §1.2) and is kept as an option.

Letters: T time steps, h w token rows and columns, K tokens, D head size.
"""

from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor

UNITS_PER_SECOND = 4.0
PAPER_AUDIO_SCALE = 21 / 218
LATENT_FRAMES = 4  # of the autoencoders of the donors


@dataclass(frozen=True)
class Rotation:
    """Cosines and signed sines of one token list, computed once a forward pass.

    [K, D], or [B, 1, K, D] where the samples of a batch have positions of their own.
    """

    cos: Tensor
    sin: Tensor

    def pad(self, tokens: int) -> "Rotation":
        """Append `tokens` positions that do not rotate: text has no place in time or space."""
        shape = (*self.cos.shape[:-2], tokens, self.cos.shape[-1])
        return Rotation(
            torch.cat([self.cos, self.cos.new_ones(shape)], dim=-2),
            torch.cat([self.sin, self.sin.new_zeros(shape)], dim=-2),
        )

    def after(self, first: "Rotation") -> "Rotation":
        """These positions [K, D], shared by a batch, after `first` [B, 1, R, D]: [B, 1, R+K, D]."""
        batch = first.cos.shape[:-2]
        return Rotation(
            torch.cat([first.cos, self.cos.expand(*batch, -1, -1)], dim=-2),
            torch.cat([first.sin, self.sin.expand(*batch, -1, -1)], dim=-2),
        )

    def by_row(self, batch: int) -> "Rotation":
        """The rotation [B*K, D] of every sample's own positions as [B, 1, K, D]."""
        shape = (batch, 1, -1, self.cos.shape[-1])
        return Rotation(self.cos.reshape(shape), self.sin.reshape(shape))

    def join(self, other: "Rotation") -> "Rotation":
        """The tokens of this list, then those of the other."""
        return Rotation(torch.cat([self.cos, other.cos]), torch.cat([self.sin, other.sin]))


def positions(
    times: Tensor, clock: str, audio: bool, fps: float = 24.0, grid: Tensor | None = None
) -> Tensor:
    """Time positions [T] of latents whose centres are `times` seconds.

    `fps` is the rate at which the clock "latents" gives picture latents whole numbers. The paper's
    clock counts latents; single frames between the video's, whose times are `grid`, get the
    fractional count of their instant.
    """
    if clock == "seconds":
        return times * UNITS_PER_SECOND
    if clock == "latents":
        return latent_clock(times, fps)
    if grid is not None:
        return between(times, grid)
    index = torch.arange(len(times), device=times.device, dtype=times.dtype)
    return index * PAPER_AUDIO_SCALE if audio else index


def latent_clock(times: Tensor, fps: float) -> Tensor:
    """Which picture latent, in fractions, has its centre at `times` seconds; any sound has one too.

    At `fps` frames a second latent 0 is frame 0, whose middle is frame time 0.5, and latent k the
    frames 4k - 3 to 4k, whose middle is 4k - 1: its index, as pretrained picture models have it.
    """
    frame = times * fps
    first = LATENT_FRAMES / 2 + 1  # the middle of latent 1
    early = (frame - 0.5) / (first - 0.5)
    return torch.where(frame < first, early, 1 + (frame - first) / LATENT_FRAMES)


def between(times: Tensor, grid: Tensor) -> Tensor:
    """Fractional indices of `times` in the rising `grid`, continued beyond its ends."""
    if len(grid) == 1:
        return (times - grid) * UNITS_PER_SECOND
    right = torch.searchsorted(grid, times.to(grid)).clamp(1, len(grid) - 1)
    left = right - 1
    return left + (times - grid[left]) / (grid[right] - grid[left])


def split_head(head_dim: int, shares: tuple[int, int, int]) -> tuple[int, int, int]:
    """Even channel counts for time, rows and columns: 16/56/56 at 128, scaled to the head size."""
    unit = head_dim // 2
    time = min(max(1, round(unit * shares[0] / sum(shares))), unit - 2)
    rows = min(max(1, round((unit - time) * shares[1] / (shares[1] + shares[2]))), unit - time - 1)
    return 2 * time, 2 * rows, 2 * (unit - time - rows)


def angles(position: Tensor, dims: int, base: float) -> Tensor:
    """Angles [T, dims/2] of positions [T]; frequencies fall from 1 to 1/base."""
    exponent = torch.arange(dims // 2, device=position.device, dtype=torch.float64) * 2 / dims
    return position.double()[:, None] * base**-exponent


def rotation(angle: Tensor) -> Rotation:
    """The rotation [K, D] by `angle` [K, D/2]; channel i is paired with channel i + D/2."""
    cos, sin = angle.cos().float(), angle.sin().float()
    return Rotation(torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))


def time_rotation(position: Tensor, head_dim: int, base: float, space: int = 1) -> Rotation:
    """Rotation by time alone; `space` tokens share each time step: [T*space, D]."""
    angle = angles(position, head_dim, base)
    return rotation(repeat(angle, "t d -> (t s) d", s=space))


def video_rotation(
    position: Tensor,
    rows: int,
    cols: int,
    head_dim: int,
    shares: tuple[int, int, int],
    base: float,
    of: tuple[int, int] | None = None,
) -> Rotation:
    """Three-axis rotation [T*h*w, D] of a grid of video tokens.

    `of` is the grid (rows, cols) in whose units places are counted, by default this one: the same
    place in the picture has the same position whatever the resolution.
    """
    dims = split_head(head_dim, shares)
    sizes = len(position), rows, cols
    row, col = (
        centres(n, m, position.device)
        for n, m in zip((rows, cols), of or (rows, cols), strict=True)
    )
    axes = [angles(p, d, base) for p, d in zip((position, row, col), dims, strict=True)]
    grid = [
        axes[0][:, None, None].expand(*sizes, -1),
        axes[1][None, :, None].expand(*sizes, -1),
        axes[2][None, None, :].expand(*sizes, -1),
    ]
    return rotation(rearrange(torch.cat(grid, dim=-1), "t h w d -> (t h w) d"))


def centres(count: int, of: int, device: torch.device) -> Tensor:
    """Centres [count] of tokens in units of a grid of `of` tokens; 0, 1, 2 … where they are one."""
    index = torch.arange(count, device=device, dtype=torch.float64)
    return (index + 0.5) * (of / count) - 0.5


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Rotate heads x [..., K, D]."""
    swapped = x.roll(x.shape[-1] // 2, dims=-1)
    return torch.addcmul(x * by.cos.to(x.dtype), swapped, by.sin.to(x.dtype))
