"""The Euler sampler: from noise at t = 0 to latents at t = 1 along the model's velocity."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from model.flow import interpolate, shift_times
from model.guidance import Velocity
from model.tower import Media


def grid(steps: int, shift: float = 1.0) -> list[float]:
    """The steps + 1 times from 0 to 1; shift > 1 spends more steps on noise."""
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1")
    even = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return [float(t) for t in shift_times(even, shift)]


@torch.no_grad()
def euler(
    model: Velocity,
    video: Media | None,
    audio: Media | None,
    times: list[float],
    on_step: Callable[[int], None] | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """Clean latents from Media whose `latent` is pure noise; their `t` is ignored.

    Training notes z_t of kept regions too but asks no velocity for them, so each step puts them
    where training saw them, at t*condition + (1-t)*noise, and the end returns them bit-equal.
    """
    noise = video.latent if video else None
    for step, (now, after) in enumerate(pairwise(times)):
        video, audio = at(video, now), at(audio, now)
        velocities = model(video, audio)
        video = advance(video, velocities[0], after - now)
        audio = advance(audio, velocities[1], after - now)
        if video and noise is not None:
            video = replace(video, latent=keep(video, noise, after))
        if on_step:
            on_step(step + 1)
    return video.latent if video else None, audio.latent if audio else None


def at(media: Media | None, t: float) -> Media | None:
    """The same media with every t set."""
    return replace(media, t=torch.full_like(media.t, t)) if media else None


def advance(media: Media | None, velocity: Tensor | None, dt: float) -> Media | None:
    """One straight step."""
    if media is None or velocity is None:
        return media
    return replace(media, latent=media.latent + dt * velocity)


def keep(video: Media, noise: Tensor, t: float) -> Tensor:
    """The latent with kept regions at their known place; at t = 1 that is the condition itself."""
    if video.mask is None or video.condition is None:
        return video.latent
    known = video.condition
    if t < 1:
        known = interpolate(known, noise, torch.full_like(video.t, t))
    return torch.where(video.mask.bool(), known, video.latent)
