"""What a training sample is shown before its clip, by task: drawn from (seed, clip_id, visit).

References come from another clip of the same film, or where there is none from the clip itself.
All of this is ours: the paper names the shares of image and video references (table 1), not their
source. Only beginnings are taken of pictures: of a causal autoencoder they are what encoding the
shorter clip would give.

Letters: C latent channels, T video latents, h w latent rows and columns, L audio latents.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from jobs.training.mix_config import TaskMix
from model.conditions import Task, draw_task
from model.geometry import Geometry
from model.noise import Draw
from model.references import Reference
from model.regions import draw_hole
from pipelines.stream import Sample

ASK_OTHER = {  # tasks that want another clip of the film
    Task.REFERENCE_IMAGE,
    Task.REFERENCE_CLIP,
    Task.REFERENCE_SOUND,
    Task.EDIT,
}


def wants_other(mix: TaskMix, seed: int) -> Callable[[str, int], bool] | None:
    """Of which visits the stream reads another clip too; None where no task asks for one."""
    weights = mix.model_dump()
    if not any(weights[task] for task in ASK_OTHER):
        return None
    return lambda clip_id, visit: draw_task(weights, seed, clip_id, visit) in ASK_OTHER


def references_of(
    task: Task, sample: Sample, rendition: str, black: Tensor, draw: Draw
) -> list[Reference]:
    """The references of a sample under its task; none under most. `black` is [C,T,h,w]."""
    other = sample.other or sample
    match task:
        case Task.REFERENCE_IMAGE:
            return [beginning(other, rendition, 1, sound=False)]
        case Task.REFERENCE_CLIP:
            count = 1 + int(draw.uniform("reference") * other.videos[rendition].shape[1])
            return [beginning(other, rendition, count, sound=True)]
        case Task.REFERENCE_SOUND:
            return [heard(sample if other.audio is None else other, draw)]
        case Task.EDIT:
            return [edited(sample, rendition, black, draw)]
        case _:
            return []


def beginning(sample: Sample, rendition: str, latents: int, *, sound: bool) -> Reference:
    """The first video latents of a clip, with the sound below them."""
    video = sample.videos[rendition][:, :latents].float()
    span = shorter(sample.shape(rendition), video)
    audio = sample.audio if sound else None
    return Reference(
        span,
        video,
        None if audio is None else audio[:, : span.audio_latents].float(),
    )


def heard(sample: Sample, draw: Draw) -> Reference:
    """A span of a clip's sound, as long as some of its picture."""
    assert sample.audio is not None
    latents = 1 + int(draw.uniform("reference") * sample.video.shape[1])
    span = shorter(sample.geometry, sample.video[:, :latents])
    room = sample.audio.shape[1] - span.audio_latents
    first = int(draw.uniform("reference from") * (room + 1))
    return Reference(span, audio=sample.audio[:, first : first + span.audio_latents].float())


def edited(sample: Sample, rendition: str, black: Tensor, draw: Draw) -> Reference:
    """The whole clip as it might have been before an edit: a box of it shows another clip.

    What is to be made is the clip, told by its caption, without a mask.
    """
    clean = sample.videos[rendition].float()
    span = shorter(sample.shape(rendition), clean)
    hole = draw_hole(clean.shape[1:], draw)  # [1,T,h,w]
    there = black.float() if sample.other is None else sample.other.videos[rendition].float()
    audio = None if sample.audio is None else sample.audio.float()
    return Reference(span, torch.where(hole.bool(), there, clean), audio)


def shorter(geometry: Geometry, video: Tensor) -> Geometry:
    """The geometry of a clip with the picture [C,T,h,w]."""
    (T, h, w), vae = video.shape[1:], geometry.video
    frames = 1 + (T - 1) * vae.time
    return replace(geometry, frames=frames, height=h * vae.space, width=w * vae.space)
