"""From samples to per-sample losses: conditions, noise, forward pass, and how losses are summed.

Every random choice about a sample comes from (seed, clip_id, visit), and every sum is over the
global batch, so that any number of workers takes the same step.

Letters: B batch, C latent channels, T video latents, h w latent rows and columns, L audio latents,
N text tokens, D text channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from jobs.training import ranks
from jobs.training.config import TrainConfig
from jobs.training.cost import Work, work_of
from jobs.training.mix_config import CaptionMix
from jobs.training.references import references_of
from jobs.training.sharpen import stack, unknown, with_keyframes
from jobs.training.tasks import MUTE, NO_PICTURE, Counts, Objective, hears, task_of
from model import flow
from model.conditions import Task, condition, levels
from model.config import ModelConfig
from model.distil import phases
from model.mmdit import Media
from model.noise import Draw, normal, uniform
from model.references import gather
from model.regions import draw_keep
from model.text import pad_text
from pipelines.stream import Sample

VARIANTS = ("short", "long", "structured")
Forward = Callable[[Media | None, Media | None], tuple[Tensor | None, ...]]


@dataclass(frozen=True)
class Batch:
    """One rank's share of a step, ready for the model."""

    ids: list[str]
    tasks: list[Task]
    t: Tensor  # [B]
    video: Media | None
    audio: Media | None
    video_target: Tensor | None  # [B,C,T,h,w]
    keyframes_target: Tensor | None  # [B,C,K,H,W]
    audio_target: Tensor | None  # [B,C,L]
    makes_video: Tensor  # [B] bool: not where the picture is given
    makes_audio: Tensor  # [B] bool: where there is sound and it is not given
    work: Work


@dataclass(frozen=True)
class Losses:
    """Mean squared error of each sample, [B] float32; 0 where there is nothing to make."""

    video: Tensor
    audio: Tensor
    keyframes: Tensor


def make_batch(
    samples: Sequence[Sample],
    objective: Objective,
    model: ModelConfig,
    *,
    audio: bool,
    level: float | None = None,
    alone: Task | None = None,
) -> Batch:
    """Samples of one bucket as model inputs and targets.

    `audio` says whether any sample of the global batch has sound, so that all ranks run the same
    towers; so does `alone`, the task of a step in which one tower has no input. `level` fixes t
    and takes text without dropout and no condition: for validation.
    """
    o = objective
    first = samples[0]
    rendition = o.config.rendition
    geometry, shape = first.geometry, first.shape(rendition)  # of sound, of picture
    audio = audio and alone not in MUTE
    draws = [Draw(o.seed, sample.clip_id, sample.visit) for sample in samples]
    plain = level is not None
    tasks = [Task.TEXT_TO_AV if plain else task_of(sample, o, alone) for sample in samples]
    t = draw_t(draws, o.config, level)
    clean = stack(samples, rendition)  # [B,C,T,h,w]
    black = o.constants[f"black.{rendition}.{first.bucket}"]
    hidden = unknown(samples, draws, o, black, plain=plain)
    if alone is Task.TEXT_TO_IMAGE:  # of a causal autoencoder the first latent is the first frame's
        clean, hidden, shape = clean[:, :, :1], hidden[..., :1, :, :], replace(shape, frames=1)
    _, _, T, h, w = clean.shape
    masks = torch.stack(
        [draw_keep(task, (T, h, w), draw) for task, draw in zip(tasks, draws, strict=True)]
    )
    known = condition(clean, masks, hidden)
    texts = [
        choose_text(s.text, o.config.captions, draw, plain=plain, dim=o.text_dim)
        for s, draw in zip(samples, draws, strict=True)
    ]
    text, text_mask = pad_text(texts)
    if not text.shape[1]:  # nobody has text: one masked token keeps the shapes of every rank alike
        text, text_mask = (
            text.new_zeros(len(samples), 1, o.text_dim),
            text_mask.new_zeros(len(samples), 1),
        )

    def put(x: Tensor) -> Tensor:
        return x.to(o.device, o.dtype)

    before = [
        references_of(task, sample, rendition, black, draw)
        for task, sample, draw in zip(tasks, samples, draws, strict=True)
    ]
    seen, spoken = (r and r.to(o.device, o.dtype) for r in gather(before))
    noise = normal(draws, "video", clean.shape[1:])
    t_video, t_audio = levels(tasks, t)
    common: dict[str, Any] = {"text": put(text), "text_mask": text_mask.to(o.device)}
    video = Media(
        latent=put(flow.interpolate(clean, noise, t_video)),
        t=t_video.to(o.device),
        times=shape.video_times().to(o.device),
        condition=put(known.latent),
        mask=put(known.mask),
        references=seen,
        **common,
    )
    keyframes_target = None
    if o.config.keyframes and alone in (None, Task.TEXT_TO_VIDEO):
        video, keyframes_target = with_keyframes(video, masks, samples, draws, o)
    sound, target = None, None
    if audio:
        silence = o.constants[f"silence.{first.bucket}"]
        heard = torch.stack([silence if s.audio is None else s.audio for s in samples]).float()
        noise_audio = normal(draws, "audio", heard.shape[1:])
        sound = Media(
            latent=put(flow.interpolate(heard, noise_audio, t_audio)),
            t=t_audio.to(o.device),
            times=geometry.audio_times().to(o.device),
            references=spoken,
            **common,
        )
        target = flow.velocity(heard, noise_audio).to(o.device)
    shown = video if alone is not Task.TEXT_TO_AUDIO else None
    return Batch(
        ids=[s.clip_id for s in samples],
        tasks=tasks,
        t=t,
        video=shown,
        audio=sound,
        video_target=None if shown is None else flow.velocity(clean, noise).to(o.device),
        keyframes_target=keyframes_target,
        audio_target=target,
        makes_video=torch.tensor([task not in NO_PICTURE for task in tasks]),
        makes_audio=torch.tensor(
            [audio and hears(s, t) for s, t in zip(samples, tasks, strict=True)]
        ),
        work=work_of(shown, sound, text_mask, model),
    )


def draw_t(draws: Sequence[Draw], config: TrainConfig, level: float | None) -> Tensor:
    """The noise levels [B] of samples, or `level` for all; where a student learns, times at which
    a step of its teacher begins.
    """
    if level is None:
        t = flow.times(uniform(draws, "t"), config.density)
    else:
        t = torch.full((len(draws),), level)
    few = config.distil
    return t if few is None else phases(few.steps, few.teacher_steps, few.shift).snapped(t)


def choose_text(
    known: dict[str, Tensor], mix: CaptionMix, draw: Draw, *, plain: bool, dim: int
) -> Tensor:
    """Text features [N,D] of one visit: a caption by weight, or none ([0,D])."""
    variants = [name for name in VARIANTS if name in known]
    if not variants or (not plain and draw.uniform("caption_dropped") < mix.dropped):
        return torch.zeros(0, dim)
    if plain:
        return known[variants[0]].float()
    weights = [getattr(mix, name) for name in variants]
    if not any(weights):
        weights = [1.0] * len(variants)
    point = draw.uniform("caption") * sum(weights)
    for name, weight in zip(variants, weights, strict=True):
        point -= weight
        if point < 0:
            return known[name].float()
    return known[variants[-1]].float()


def losses(forward: Forward, batch: Batch) -> Losses:
    """Forward pass and the error of each sample in each stream."""
    video, audio, *keyframes = forward(batch.video, batch.audio)
    there = batch.video or batch.audio
    assert there is not None
    error_video = torch.zeros(len(batch.ids), device=there.latent.device)
    error_keys = torch.zeros_like(error_video)
    if batch.video is not None and video is not None and batch.video_target is not None:
        error_video = flow.loss(video, batch.video_target, batch.video.mask)
    if keyframes and batch.keyframes_target is not None and batch.video and batch.video.keyframes:
        assert keyframes[0] is not None
        error_keys = flow.loss(keyframes[0], batch.keyframes_target, batch.video.keyframes.mask)
    if audio is None or batch.audio_target is None:
        return Losses(error_video, torch.zeros_like(error_video), error_keys)
    error_audio = flow.loss(audio, batch.audio_target)
    # where, not a product: the stand-in of a missing sound must not bring NaN into the sum
    has = batch.makes_audio.to(error_audio.device)
    return Losses(error_video, torch.where(has, error_audio, 0.0), error_keys)


def weighted(found: Losses, config: TrainConfig, total: Counts) -> Tensor:
    """The part of the loss that a rank differentiates.

    The sum over ranks divided by the number of ranks, which is what DeepSpeed makes of it, is the
    weighted sum of the streams' means over the global batch.
    """
    video = found.video.sum() / max(1, total.pictures)
    audio = found.audio.sum() / max(1, total.sounds)
    loss = config.loss.video * video + config.loss.audio * audio
    if config.keyframes:
        loss = loss + config.keyframes.weight * found.keyframes.sum() / max(1, total.pictures)
    return ranks.world() * loss
