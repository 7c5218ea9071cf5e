"""The objective: flow matching from noise (t = 0) to data (t = 1), SkyReels-V4 §3.1.

z_t = t*z0 + (1-t)*eps, velocity z0 - eps, one t for both streams, loss per stream and sample so
that the trainer can weight the streams and log by task and noise level.

Letters: B batch; latents are [B,C,T,h,w] or [B,C,L].
"""

import torch
from torch import Tensor

DENSITIES = ("uniform", "logit_normal")


def interpolate(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """z_t at t [B]."""
    t = spread(t, clean)
    return t * clean + (1 - t) * noise


def velocity(clean: Tensor, noise: Tensor) -> Tensor:
    """The target: what moves noise to data in unit time."""
    return clean - noise


def times(u: Tensor, density: str = "uniform", shift: float = 1.0, width: float = 1.0) -> Tensor:
    """Map even draws u [B] in 0..1 to t by the inverse of the density's distribution, float32.

    `shift` > 1 moves mass to noise, the usual resolution shift: s' = shift*s / (1 + (shift-1)*s)
    of the noise share s = 1-t. `width` is the deviation of the logit-normal (SD3 uses 1).
    The paper has the uniform density; the others are options.
    """
    if density not in DENSITIES:
        raise ValueError(f"density={density!r} must be one of {', '.join(DENSITIES)}")
    if shift <= 0 or width <= 0:
        raise ValueError(f"shift={shift} and width={width} must be above 0")
    if density == "logit_normal":
        u = torch.sigmoid(width * torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6)))
    return shift_times(u, shift).float()


def shift_times(t: Tensor, shift: float) -> Tensor:
    """Shift t towards noise; 1 changes nothing."""
    s = 1 - t
    return 1 - shift * s / (1 + (shift - 1) * s)


def loss(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared error of each sample, [B] float32, over what has to be generated.

    Kept regions (mask [B,1,T,h,w] = 1) count nothing (choice; the paper is silent): their answer
    is in the input, and the sampler overwrites them.
    """
    error = (predicted.float() - target.float()).square()
    if mask is None:
        return error.flatten(1).mean(1)
    wanted = (1 - mask).expand_as(error)
    return (error * wanted).flatten(1).sum(1) / wanted.flatten(1).sum(1).clamp_min(1)


def spread(t: Tensor, like: Tensor) -> Tensor:
    """Reshape t [B] to [B,1,1,...] of the rank of `like`."""
    return t.reshape(-1, *[1] * (like.dim() - 1)).to(like)
