"""What training knows of keyframes and of what a refiner is given.

Letters: B batch, C channels, T h w the trained latent, K keyframes of H x W latents.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from jobs.training.config import TrainConfig
from model import flow
from model.conditions import condition
from model.noise import Draw, normal, uniform
from model.refiner import keyframe_mask, places, put_in_place, upsampled
from model.tower import Media
from pipelines.stream import Sample


class Known(Protocol):
    """Settings and the latents of black frames."""

    @property
    def config(self) -> TrainConfig:
        """The run's settings."""

    @property
    def constants(self) -> dict[str, Tensor]:
        """Black picture by rendition and bucket."""


def stack(samples: Sequence[Sample], rendition: str) -> Tensor:
    """Clean latents [B,C,T,h,w] of a rendition."""
    return torch.stack([sample.videos[rendition] for sample in samples]).float()


def unknown(
    samples: Sequence[Sample],
    draws: Sequence[Draw],
    known: Known,
    black: Tensor,
    *,
    plain: bool,
) -> Tensor:
    """What the condition holds where nothing is kept: black, or what a refiner makes sharp."""
    config, first = known.config, samples[0]
    refine = config.refine
    if refine is None:
        return black
    target = first.shape(config.rendition)
    coarse = upsampled(stack(samples, refine.low), first.shape(refine.low), target)
    if refine.keyframes is not None:
        at = places(first.shape(refine.keyframes), target)
        sharp = put_in_place(coarse, stack(samples, refine.keyframes), at)
        shown = uniform(draws, "keyframes dropped") >= (0 if plain else refine.dropped)
        coarse = torch.where(shown[:, None, None, None, None], sharp, coarse)
    if plain or not refine.noise:
        return coarse
    # What a base makes is not what an encoder makes: noise of drawn strength stands for the
    # difference (choice; the paper does not say what spoils the input in training).
    level = refine.noise * uniform(draws, "refined noise level").to(coarse)
    return coarse + flow.spread(level, coarse) * normal(draws, "refined noise", coarse.shape[1:])


def with_keyframes(
    video: Media,
    masks: Tensor,
    samples: Sequence[Sample],
    draws: Sequence[Draw],
    known: Known,
) -> tuple[Media, Tensor]:
    """The video with keyframes at its own noise level, and their target [B,C,K,H,W].

    A keyframe is given where the latent of its instant is kept; masks are the video's.
    """
    joint, first = known.config.keyframes, samples[0]
    assert joint is not None
    stills = first.shape(joint.rendition)
    clean = stack(samples, joint.rendition)
    at = places(stills, first.shape(known.config.rendition))
    kept = keyframe_mask(masks, at, (clean.shape[3], clean.shape[4]))
    given = condition(clean, kept, known.constants[f"black.{joint.rendition}.{first.bucket}"])
    noise = normal(draws, "sharp keyframes", clean.shape[1:])
    keys = replace(
        video,
        latent=flow.interpolate(clean, noise, video.t.cpu()).to(video.latent),
        times=stills.video_times().to(video.times),
        condition=given.latent.to(video.latent),
        mask=given.mask.to(video.latent),
    )
    return replace(video, keyframes=keys), flow.velocity(clean, noise).to(video.latent.device)
