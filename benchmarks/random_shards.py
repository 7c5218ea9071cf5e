"""Shard sets of random latents, for measurements and tests that need no media and no VAE."""

from dataclasses import replace
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


def renditions(base: Geometry, *, sharp: bool) -> dict[str, Geometry]:
    """The base alone, or with twice its size and rate and two stills a second of that size."""
    if not sharp:
        return {"base": base}
    large = replace(base, height=2 * base.height, width=2 * base.width)
    stills = replace(base.video, time=1)
    return {
        "base": base,
        "keyframes": replace(large, frames=max(1, int(base.seconds * 2)), fps=2.0, video=stills),
        "high": replace(large, frames=2 * base.frames - 1, fps=2 * base.fps),
    }


def bucket_of(shapes: dict[str, Geometry]) -> str:
    """The name of a bucket of these renditions."""
    return "+".join(shape.bucket for shape in shapes.values())


def encoded(
    number: int, shape: Geometry, split: str, text_dim: int, *, sharp: bool = False
) -> Encoded:
    """Clip `number`: its tensors are a function of the number; every fifth has no sound."""
    shapes = renditions(shape, sharp=sharp)
    generator = torch.Generator().manual_seed(number)
    clip_id = f"{number:016x}-0-{round(shape.seconds * 1000)}"
    tensors = {
        f"{name}.video": torch.randn(each.video_shape, generator=generator).half()
        for name, each in shapes.items()
    }
    for place, variant in enumerate(VARIANTS):
        tokens = 4 + number % 4 + 8 * place
        tensors[f"text.{variant}"] = torch.randn(tokens, text_dim, generator=generator).half()
    sound = number % 5 != 4
    if sound:
        tensors["audio"] = torch.randn(shape.audio_shape, generator=generator).half()
    return Encoded(
        clip_id=clip_id,
        bucket=bucket_of(shapes),
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
    sharp: int = 0,
) -> dict[str, Any]:
    """A shard set with clips[frames] clips of each length, the last `val` of each held out.

    `sharp` = 1 adds renditions for keyframes and a refiner. Returns its contract.
    """
    sides, number = [], 0
    sizes = {frames: geometry(frames, size, channels) for frames in clips}
    for frames, count in clips.items():
        for start in range(0, count, per_shard):
            splits = {i: "val" if i >= count - val else "train" for i in range(count)}
            made = [
                encoded(number + i, sizes[frames], splits[i], text_dim, sharp=bool(sharp))
                for i in range(start, min(count, start + per_shard))
            ]
            sides.append(write_shard(folder, f"{made[0].bucket}-{start:05d}", made))
        number += count
    first = next(iter(sizes.values()))
    origin = {
        "video_vae": {"name": "random", "fingerprint": "v1", "spec": vars(first.video)},
        "audio_vae": {"name": "random", "fingerprint": "a1", "spec": vars(first.audio)},
        "text": {"encoder": "random", "fingerprint": "t1", "dim": text_dim, "variants": VARIANTS},
    }
    everything = [renditions(shape, sharp=bool(sharp)) for shape in sizes.values()]
    buckets, constants = {bucket_of(shapes): shapes for shapes in everything}, {}
    for name, shapes in buckets.items():
        constants[f"silence.{name}"] = torch.zeros(shapes["base"].audio_shape).half()
        for rendition, shape in shapes.items():
            constants[f"black.{rendition}.{name}"] = torch.zeros(shape.video_shape).half()
    return write_set(folder, sides, origin, buckets, constants)
