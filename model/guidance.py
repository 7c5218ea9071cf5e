"""Classifier-free guidance: v = v_none + scale * (v_text - v_none), a scale for each modality.

The paper names no guidance; separate scales for picture and sound follow LTX-2.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.tower import Media

Velocity = Callable[[Media | None, Media | None], tuple[Tensor | None, Tensor | None]]


@dataclass(frozen=True)
class Guidance:
    """How strongly text pulls; 1 is the plain conditional model."""

    video: float = 1.0
    audio: float = 1.0


def guide(model: Velocity, guidance: Guidance) -> Velocity:
    """The guided velocity: one batched pass of twice the size, or the plain one at scale 1."""
    if guidance.video == 1 and guidance.audio == 1:
        return model

    def guided(video: Media | None, audio: Media | None) -> tuple[Tensor | None, Tensor | None]:
        both = model(with_and_without_text(video), with_and_without_text(audio))
        return pull(both[0], guidance.video), pull(both[1], guidance.audio)

    return guided


def with_and_without_text(media: Media | None) -> Media | None:
    """The batch twice, the second half without text."""
    if media is None:
        return None
    return replace(
        media,
        latent=twice(media.latent),
        t=twice(media.t),
        text=twice(media.text),
        text_mask=torch.cat([media.text_mask, torch.zeros_like(media.text_mask)]),
        condition=None if media.condition is None else twice(media.condition),
        mask=None if media.mask is None else twice(media.mask),
    )


def twice(x: Tensor) -> Tensor:
    """Repeat x [B,...] to [2B,...]."""
    return torch.cat([x, x])


def pull(both: Tensor | None, scale: float) -> Tensor | None:
    """Extrapolate from the second half (no text) through the first."""
    if both is None:
        return None
    text, none = both.chunk(2)
    return none + scale * (text - none)
