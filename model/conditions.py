"""What the model is told of the picture beforehand: task -> kept region -> condition latent.

All tasks share one interface (SkyReels-V4 §3.2): the noisy latent, a condition latent and a mask
(1 = keep) side by side on channels. Where nothing is known the condition holds the latent of black
frames, not zeros. What a task keeps is in `model/regions.py`. A modality that is wholly given has
no noise: its t is 1 (choice; the paper names neither picture from sound nor sound from picture).

Letters: B batch, C channels, T video latents, h w latent rows and columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from model.noise import Draw


class Task(StrEnum):
    """What is given besides text."""

    TEXT_TO_AV = "text_to_av"  # nothing
    IMAGE_TO_AV = "image_to_av"  # the first latent, which is one frame
    EXTEND = "extend"  # the first k latents of a clip
    EXTEND_BACK = "extend_back"  # the last k
    FIRST_LAST = "first_last"  # the first and the last latent
    KEYFRAMES = "keyframes"  # some latents anywhere
    INPAINT = "inpaint"  # all but a box, at rest or moving, for all of the time or a part
    OUTPAINT = "outpaint"  # a box at rest
    VIDEO_TO_AUDIO = "video_to_audio"  # the whole picture
    AUDIO_TO_VIDEO = "audio_to_video"  # the whole sound
    REFERENCE_IMAGE = "reference_image"  # a picture before the clip's time
    REFERENCE_CLIP = "reference_clip"  # a clip, with its sound if it has one, before its time
    REFERENCE_SOUND = "reference_sound"  # a sound before its time
    EDIT = "edit"  # what is edited, whole and without a mask, before its time


@dataclass(frozen=True)
class Condition:
    """Known picture: latent [B,C,T,h,w], black where unknown, and mask [B,1,T,h,w], 1 = keep."""

    latent: Tensor
    mask: Tensor


def draw_task(mix: Mapping[str, float], seed: int, clip_id: str, visit: int) -> Task:
    """The task of one sample, drawn by weight; weights need not sum to 1.

    Raises ValueError for an unknown task, a negative weight or no positive one.
    """
    unknown = sorted(set(mix) - set(Task))
    if unknown:
        raise ValueError(f"tasks {unknown} are unknown; choose from {', '.join(Task)}")
    if min(mix.values(), default=0) < 0 or sum(mix.values()) <= 0:
        raise ValueError(f"task weights {dict(mix)} must be >= 0 with at least one above 0")
    point = Draw(seed, clip_id, visit).uniform("task") * sum(mix.values())
    weighted = [(task, mix[task]) for task in Task if mix.get(task, 0) > 0]
    for task, weight in weighted:
        point -= weight
        if point < 0:
            return task
    return weighted[-1][0]


def condition(clean: Tensor, mask: Tensor, black: Tensor) -> Condition:
    """Keep `clean` [B,C,T,h,w] where mask [B,1,T,h,w] is 1, else black ([C,T,h,w])."""
    known = torch.where(mask.bool(), clean, black.to(clean))
    return Condition(known, mask.to(clean.dtype))


def levels(tasks: Sequence[Task], t: Tensor) -> tuple[Tensor, Tensor]:
    """The t of picture and of sound, each [B]: 1 where a task gives all of it."""
    seen = torch.tensor([task is Task.VIDEO_TO_AUDIO for task in tasks], device=t.device)
    heard = torch.tensor([task is Task.AUDIO_TO_VIDEO for task in tasks], device=t.device)
    return torch.where(seen, 1.0, t), torch.where(heard, 1.0, t)
