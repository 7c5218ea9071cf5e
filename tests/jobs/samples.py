"""Samples of random latents, and an objective for them, without a shard set."""

import torch

from benchmarks.random_shards import encoded, geometry
from jobs.training.config import TrainConfig
from jobs.training.mix_config import TaskMix
from jobs.training.tasks import Objective
from model.config import ModelConfig
from pipelines.stream import Sample

SHAPE = geometry(9, 16, 4)
BLACK = torch.full(SHAPE.video_shape, -7.0)
NOTHING = dict.fromkeys(TaskMix.model_fields, 0.0)
MODEL = ModelConfig(16, 2, 1, 1, video_channels=4, audio_channels=8, text_dim=12)


def sample(number: int, other: int | None = None, visit: int = 0) -> Sample:
    """A clip of random latents, every fifth without sound, with another one beside it."""
    made = encoded(number, SHAPE, "train", 12)
    text = {n.removeprefix("text."): t for n, t in made.tensors.items() if n.startswith("text.")}
    videos, audio = {"base": made.tensors["base.video"]}, made.tensors.get("audio")
    beside = None if other is None else sample(other)
    return Sample(made.clip_id, visit, made.bucket, SHAPE, videos, audio, text, {}, other=beside)


def objective(**weights: float) -> Objective:
    config = TrainConfig(tasks=TaskMix(**NOTHING | weights))
    constants = {
        f"black.base.{SHAPE.bucket}": BLACK,
        f"silence.{SHAPE.bucket}": torch.zeros(SHAPE.audio_shape),
    }
    return Objective(config, 0, constants, 12, torch.device("cpu"), torch.float32)
