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
    TEXT_TO_AUDIO = "text_to_audio"  # nothing, and only sound is made
    TEXT_TO_VIDEO = "text_to_video"  # nothing, and only picture is made
    TEXT_TO_IMAGE = "text_to_image"  # nothing, and only the first latent is made


# One tower has no input: such a task is a whole step's, so that all samples run the same network.
ALONE = (Task.TEXT_TO_AUDIO, Task.TEXT_TO_VIDEO, Task.TEXT_TO_IMAGE)


@dataclass(frozen=True)
class Condition:
    """Known picture: latent [B,C,T,h,w], black where unknown, and mask [B,1,T,h,w], 1 = keep."""

    latent: Tensor
    mask: Tensor


def draw_task(mix: Mapping[str, float], seed: int, clip_id: str, visit: int) -> Task:
    """The task of one sample of a joint step, drawn by weight; weights need not sum to 1.

    Raises ValueError for an unknown task, a negative weight or no positive one.
    """
    check_mix(mix)
    found = drawn(mix, [task for task in Task if task not in ALONE], Draw(seed, clip_id, visit))
    if found is None:
        raise ValueError(f"task weights {dict(mix)} have none for a joint step")
    return found


def draw_alone(mix: Mapping[str, float], seed: int, step: str) -> Task | None:
    """The task of all samples of a step in which one tower has no input; None for a joint step.

    `step` names the global batch by its place in the data, so all workers draw the same.
    """
    check_mix(mix)
    alone = sum(mix.get(task, 0) for task in ALONE)
    draw = Draw(seed, f"step {step}", 0)
    if not alone or draw.uniform("alone") * sum(mix.values()) >= alone:
        return None
    return drawn(mix, ALONE, draw)


def check_mix(mix: Mapping[str, float]) -> None:
    """Raises ValueError for an unknown task, a negative weight or no positive one."""
    unknown = sorted(set(mix) - set(Task))
    if unknown:
        raise ValueError(f"tasks {unknown} are unknown; choose from {', '.join(Task)}")
    if min(mix.values(), default=0) < 0 or sum(mix.values()) <= 0:
        raise ValueError(f"task weights {dict(mix)} must be >= 0 with at least one above 0")


def drawn(mix: Mapping[str, float], among: Sequence[Task], draw: Draw) -> Task | None:
    """One of some tasks by weight; None when none of them has any."""
    weighted = [(task, mix[task]) for task in among if mix.get(task, 0) > 0]
    point = draw.uniform("task") * sum(weight for _, weight in weighted)
    for task, weight in weighted:
        point -= weight
        if point < 0:
            return task
    return weighted[-1][0] if weighted else None


def condition(clean: Tensor, mask: Tensor, black: Tensor) -> Condition:
    """Keep `clean` [B,C,T,h,w] where mask [B,1,T,h,w] is 1, else black ([C,T,h,w])."""
    known = torch.where(mask.bool(), clean, black.to(clean))
    return Condition(known, mask.to(clean.dtype))


def levels(tasks: Sequence[Task], t: Tensor) -> tuple[Tensor, Tensor]:
    """The t of picture and of sound, each [B]: 1 where a task gives all of it."""
    seen = torch.tensor([task is Task.VIDEO_TO_AUDIO for task in tasks], device=t.device)
    heard = torch.tensor([task is Task.AUDIO_TO_VIDEO for task in tasks], device=t.device)
    return torch.where(seen, 1.0, t), torch.where(heard, 1.0, t)
