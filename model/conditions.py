"""What the model is told of the picture beforehand: task -> kept region -> condition latent.

All tasks share one interface (SkyReels-V4 §3.2): the noisy latent, a condition latent and a mask
(1 = keep) side by side on channels. Where nothing is known the condition holds the latent of black
frames, not zeros. Today's tasks keep the first k latent frames; a task that keeps another region
(start and end, an edited region) is another rule in `keep_mask`, the rest stays.

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


def draw_prefix(task: Task, latents: int, draw: Draw) -> int:
    """How many of T latents a training sample of `task` keeps; extension draws 1..T-1 evenly."""
    if task is Task.TEXT_TO_AV:
        return 0
    if task is Task.IMAGE_TO_AV or latents <= 2:
        return min(1, latents - 1)
    return 1 + int(draw.uniform("prefix") * (latents - 1))


def keep_mask(prefix: int, shape: Sequence[int]) -> Tensor:
    """Mask [1,T,h,w] that keeps the first `prefix` of T latents; shape is (T, h, w)."""
    T = shape[0]
    if not 0 <= prefix <= T:
        raise ValueError(f"prefix={prefix} must be between 0 and the clip's {T} latent frames")
    mask = torch.zeros(1, *shape)
    mask[:, :prefix] = 1
    return mask


def condition(clean: Tensor, mask: Tensor, black: Tensor) -> Condition:
    """Keep `clean` [B,C,T,h,w] where mask [B,1,T,h,w] is 1, else black ([C,T,h,w])."""
    known = torch.where(mask.bool(), clean, black.to(clean))
    return Condition(known, mask.to(clean.dtype))
