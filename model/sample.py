"""Samplers: from noise at t = 0 to latents at t = 1 along the model's velocity.

Euler; Heun (Karras 2022, Elucidating diffusion, alg. 1: second order, twice the passes); and
DPM-Solver++ 2M (Lu 2022, alg. 2: second order at one pass a step) with alpha = t, sigma = 1 - t.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, log
from typing import Literal

import torch
from torch import Tensor

from model.flow import interpolate, shift_times
from model.guidance import Velocity
from model.tower import Media

Method = Literal["euler", "heun", "dpmpp"]
Parts = tuple[Tensor | None, ...]  # of picture, sound and, where the picture has them, keyframes


def grid(steps: int, shift: float = 1.0) -> list[float]:
    """The steps + 1 times from 0 to 1; shift > 1 spends more steps on noise."""
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1")
    even = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return [float(t) for t in shift_times(even, shift)]


@torch.no_grad()
def integrate(
    model: Velocity,
    video: Media | None,
    audio: Media | None,
    times: Sequence[float],
    method: Method = "euler",
    on_step: Callable[[int], None] | None = None,
) -> Parts:
    """Clean latents from Media whose `latent` is pure noise; their `t` is ignored.

    Training notes z_t of kept regions too but asks no velocity for them, so each step puts them
    where training saw them, at t*condition + (1-t)*noise, and the end returns them bit-equal. A
    modality that is wholly given stays as it is, at t = 1.
    """
    path = Path(model, video, audio, times)
    z = path.start
    before: tuple[float, Parts] | None = None  # the last step's time and its guess of the data
    for step, (now, after) in enumerate(pairwise(times)):
        v = path.velocity(z, now)
        moved = straight(z, v, after - now)
        if method == "heun" and after < 1:
            ahead = path.velocity(path.kept(moved, after), after)
            moved = each(lambda x, a, b, dt=after - now: x + dt / 2 * (a + b), z, v, ahead)
        if method == "dpmpp":
            data = each(lambda x, slope, now=now: x + (1 - now) * slope, z, v)
            moved = second_order(z, data, before, now, after)
            before = now, data
        z = path.kept(moved, after)
        if on_step:
            on_step(step + 1)
    return z


class Path:
    """What stays fixed from noise to data: the model, what is known, the noise."""

    def __init__(
        self, model: Velocity, video: Media | None, audio: Media | None, times: Sequence[float]
    ) -> None:
        self._model = model
        keyframes = [video.keyframes] if video and video.keyframes else []
        self._media = video, audio, *keyframes
        self._given = [m is not None and is_given(m) for m in (video, audio)]
        self._given += self._given[: len(keyframes)]  # their t is the video's
        like = next(m.t for m in self._media if m is not None)
        # One tensor [B] a time, made at once: each by itself is an eighth of a step's own time.
        at = torch.tensor([*times, 1.0], dtype=like.dtype, device=like.device)
        rows = at[:, None].repeat(1, len(like)).unbind()
        self._t = dict(zip([*times, 1.0], rows, strict=True))
        self._noise = tuple(m.latent if m else None for m in self._media)
        # Asked once: putting nothing back cost three quarters of a step's time outside the model.
        self._knows = any(m is not None and knows(m) for m in self._media)

    @property
    def start(self) -> Parts:
        """Noise, or what is given."""
        return self.kept(self._noise, 0.0)

    def velocity(self, z: Parts, t: float) -> Parts:
        """The model's velocities at t; zero for what is given."""
        now, data = self._t[t], self._t[1.0]
        video, audio, *keyframes = [
            None if m is None or x is None else m.at(x, data if given else now)
            for m, x, given in zip(self._media, z, self._given, strict=True)
        ]
        if video is not None and keyframes:
            video = replace(video, keyframes=keyframes[0])
        found = self._model(video, audio)
        if True not in self._given:
            return found
        return tuple(
            v if v is None or not given else torch.zeros_like(v)
            for v, given in zip(found, self._given, strict=True)
        )

    def kept(self, z: Parts, t: float) -> Parts:
        """The latents with kept regions at their known place; at t = 1 that is the condition."""
        if not self._knows:
            return z
        return tuple(
            x if m is None or x is None or n is None else keep(m, x, n, 1.0 if given else t)
            for m, x, n, given in zip(self._media, z, self._noise, self._given, strict=True)
        )


def is_given(media: Media) -> bool:
    """Whether nothing of a modality is left to be made."""
    return media.mask is not None and media.condition is not None and bool(media.mask.all())


def knows(media: Media) -> bool:
    """Whether a part of a modality is known."""
    return media.mask is not None and media.condition is not None and bool(media.mask.any())


def keep(media: Media, latent: Tensor, noise: Tensor, t: float) -> Tensor:
    """`latent` with the regions that `media` knows put in at noise level t."""
    if media.mask is None or media.condition is None:
        return latent
    known = media.condition
    if t < 1:
        known = interpolate(known, noise, torch.full_like(media.t, t))
    return torch.where(media.mask.bool(), known, latent)


def second_order(
    z: Parts, data: Parts, before: tuple[float, Parts] | None, now: float, after: float
) -> Parts:
    """One step of DPM-Solver++ 2M; of first order where a step begins in noise or ends in data."""
    share = (1 - after) / (1 - now)
    aim = data
    if before is not None and after < 1 and (past := logit(before[0])) > -inf:
        ratio = (logit(now) - past) / (logit(after) - logit(now))
        aim = each(lambda x, old: x + (x - old) / (2 * ratio), data, before[1])
    return each(lambda x, x1: share * x + (after - share * now) * x1, z, aim)


def logit(t: float) -> float:
    """log(alpha / sigma)."""
    return -inf if t <= 0 else inf if t >= 1 else log(t / (1 - t))


def straight(z: Parts, slopes: Parts, dt: float) -> Parts:
    """The rule of Euler; what has no velocity stays as it is."""
    return tuple(
        [x if x is None or v is None else x + dt * v for x, v in zip(z, slopes, strict=True)]
    )


def each(rule: Callable[..., Tensor], *parts: Parts) -> Parts:
    """The rule on pictures, on sounds, on keyframes; what has no velocity stays as it is."""
    return tuple(
        rule(*same) if all(x is not None for x in same) else same[0]
        for same in zip(*parts, strict=True)
    )
