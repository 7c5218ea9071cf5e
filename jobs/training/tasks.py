"""Which task each sample of a step has, and what the global batch is to make: pure draws by (seed,
clip, visit), or by the step where all samples share a task, so that every rank knows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jobs.training import ranks
from jobs.training.config import TrainConfig
from model.conditions import Task, draw_alone, draw_task
from pipelines.stream import Cursor, Sample

MUTE = {Task.TEXT_TO_VIDEO, Task.TEXT_TO_IMAGE}  # no sound is made or given
NO_PICTURE = {Task.VIDEO_TO_AUDIO, Task.TEXT_TO_AUDIO}  # none is made
NEEDS_SOUND = {Task.VIDEO_TO_AUDIO, Task.AUDIO_TO_VIDEO, Task.REFERENCE_SOUND}


@dataclass(frozen=True)
class Objective:
    """What decides a batch besides its samples."""

    config: TrainConfig
    seed: int
    constants: dict[str, Tensor]  # of the shard set: black picture and silence, by bucket
    text_dim: int
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Counts:
    """How many samples a global batch has, by what is to be made of them."""

    samples: int
    pictures: int  # whose picture is to be made
    sounds: int  # whose sound is to be made
    heard: int  # that have sound, made or given


def task_of(sample: Sample, objective: Objective, alone: Task | None = None) -> Task:
    """The task of one visit; without sound there is none to make or to be given."""
    if alone is not None:
        return alone
    mix = objective.config.tasks.model_dump()
    task = draw_task(mix, objective.seed, sample.clip_id, sample.visit)
    return Task.TEXT_TO_AV if task in NEEDS_SOUND and sample.audio is None else task


def hears(sample: Sample, task: Task) -> bool:
    """Whether a sample's sound is to be made."""
    return sample.audio is not None and task is not Task.AUDIO_TO_VIDEO and task not in MUTE


def plan_step(
    samples: Sequence[Sample], objective: Objective, cursor: Cursor
) -> tuple[Task | None, Counts]:
    """The task of a step in which one tower has no input, None for a joint one, and what the
    global batch at `cursor` is to make. Collective.

    The same on every rank, so that all of them run the same network: weights without a gradient
    are without it everywhere, and no rank waits for a reduction that another does not make.
    """
    mix = objective.config.tasks.model_dump()
    alone = draw_alone(mix, objective.seed, f"{cursor.epoch}-{cursor.batch}")
    total = counts(samples, objective, alone)
    if alone is Task.TEXT_TO_AUDIO and not total.sounds:  # nobody has a sound: picture instead
        alone = Task.TEXT_TO_VIDEO
        total = counts(samples, objective, alone)
    return alone, total


def counts(samples: Sequence[Sample], objective: Objective, alone: Task | None = None) -> Counts:
    """What the global batch is to make. Collective."""
    tasks = [task_of(sample, objective, alone) for sample in samples]
    sound = objective.config.refine is None  # a refiner has none
    local = [
        len(samples),
        sum(task not in NO_PICTURE for task in tasks),
        sound * sum(hears(sample, task) for sample, task in zip(samples, tasks, strict=True)),
        sound * sum(sample.audio is not None for sample in samples),
    ]
    return Counts(*map(int, ranks.total(torch.tensor(local, dtype=torch.float64)).tolist()))
