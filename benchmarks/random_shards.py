"""Shard sets of random latents, for measurements and tests that need no media and no VAE."""

from pathlib import Path
from typing import Any

import torch

from model.geometry import AudioSpec, Geometry, VideoSpec
from pipelines.contract import write_set
from pipelines.shards import Encoded, write_shard

VARIANTS = ("short", "long", "structured")


def geometry(frames: int, size: int, channels: int = 16) -> Geometry:
    """A square clip of `frames` frames at 8 a second."""
    return Geometry(frames, size, size, 8.0, VideoSpec(channels), AudioSpec(2 * channels))


def encoded(number: int, shape: Geometry, split: str, text_dim: int) -> Encoded:
    """Clip `number`: its tensors are a function of the number; every fifth has no sound."""
    generator = torch.Generator().manual_seed(number)
    clip_id = f"{number:016x}-0-{round(shape.seconds * 1000)}"
    tensors = {"base.video": torch.randn(shape.video_shape, generator=generator).half()}
    for place, variant in enumerate(VARIANTS):
        tokens = 4 + number % 4 + 8 * place
        tensors[f"text.{variant}"] = torch.randn(tokens, text_dim, generator=generator).half()
    sound = number % 5 != 4
    if sound:
        tensors["audio"] = torch.randn(shape.audio_shape, generator=generator).half()
    return Encoded(
        clip_id=clip_id,
        bucket=shape.bucket,
        seconds=shape.seconds,
        tokens=sum(tensor[0].numel() for tensor in tensors.values()),
        split=split,
        classes=("sound",) if sound else ("silent",),
        info={"clip_id": clip_id, "number": number, "captions": {"short": f"clip {number}"}},
        tensors=tensors,
    )


def make_set(
    folder: Path,
    clips: dict[int, int],
    *,
    size: int = 16,
    channels: int = 4,
    text_dim: int = 12,
    per_shard: int = 4,
    val: int = 0,
) -> dict[str, Any]:
    """A shard set with clips[frames] clips of each length, the last `val` of each held out.

    Returns its contract.
    """
    sides, number = [], 0
    shapes = {frames: geometry(frames, size, channels) for frames in clips}
    for frames, count in clips.items():
        for start in range(0, count, per_shard):
            made = [
                encoded(
                    number + i, shapes[frames], "val" if i >= count - val else "train", text_dim
                )
                for i in range(start, min(count, start + per_shard))
            ]
            sides.append(write_shard(folder, f"{shapes[frames].bucket}-{start:05d}", made))
        number += count
    first = next(iter(shapes.values()))
    origin = {
        "video_vae": {"name": "random", "fingerprint": "v1", "spec": vars(first.video)},
        "audio_vae": {"name": "random", "fingerprint": "a1", "spec": vars(first.audio)},
        "text": {"encoder": "random", "fingerprint": "t1", "dim": text_dim, "variants": VARIANTS},
    }
    buckets = {shape.bucket: {"base": shape} for shape in shapes.values()}
    constants = {
        f"silence.{shape.bucket}": torch.zeros(shape.audio_shape).half()
        for shape in shapes.values()
    }
    constants |= {
        f"black.base.{shape.bucket}": torch.zeros(shape.video_shape).half()
        for shape in shapes.values()
    }
    return write_set(folder, sides, origin, buckets, constants)
