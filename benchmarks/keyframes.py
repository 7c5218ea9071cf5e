"""Small clip + keyframes + refiner against generating at full size, at equal pixels.

Two tables. FLOPs by formula (model/flops.py, held to torch's own counter by its test) of whole
clips, at the `8b` size to the paper's 1080p, 15 s and 32 frames a second. And seconds, measured:
passes of both ways at a size that this machine runs, times the passes that a clip takes.

The plan is ours where the paper is silent: 30 steps with guidance (two passes) for what makes the
clip, 8 steps without for the refiner, keyframes one a second, dense attention everywhere.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version

import torch

from model.config import ModelConfig, named_config
from model.flops import forward_flops, token_counts
from model.geometry import Geometry, VideoSpec
from model.mmdit import MMDiT
from model.tower import Media

AIM = 2.0
TEXT = 200  # tokens of a structured caption
MAKING, REFINING = 30 * 2, 8  # passes of a clip
CLIPS = (  # pixels of the made clip, its seconds and rate; the small one's side and rate are shares
    ((480, 832), 5, 16.0),
    ((720, 1280), 5, 32.0),
    ((1088, 1920), 5, 32.0),
    ((1088, 1920), 15, 32.0),
)


@dataclass(frozen=True)
class Way:
    """The clip at full size, the small one, and its keyframes."""

    full: Geometry
    small: Geometry
    stills: Geometry


def way(size: tuple[int, int], seconds: float, fps: float, space: int, time_: int) -> Way:
    """Full size, and `space` times smaller and `time_` times slower with a still a second."""
    height, width = size

    def latents(rate: float) -> int:
        return 1 + int(seconds * rate) // 4 * 4

    rows, columns = (max(16, round(side / space / 16) * 16) for side in (height, width))
    full = Geometry(latents(fps), height, width, fps)
    return Way(
        full,
        Geometry(latents(fps / time_), rows, columns, fps / time_),
        replace(full, frames=max(1, int(seconds)), fps=1.0, video=VideoSpec(time=1)),
    )


def tokens(config: ModelConfig, ways: Way) -> tuple[int, int, int, int]:
    """Video tokens at full size, of the small clip, of its keyframes; and audio tokens."""
    full, sound = token_counts(config, ways.full)
    small, stills = (token_counts(config, g)[0] for g in (ways.small, ways.stills))
    return full, small, stills, sound


def cost(config: ModelConfig, ways: Way) -> tuple[float, float, float]:
    """FLOPs of a clip: at full size, of the small one with keyframes, of the refiner."""
    full, small, stills, sound = tokens(config, ways)
    return (
        MAKING * float(forward_flops(config, full, sound, TEXT)),
        MAKING * float(forward_flops(config, small + stills, sound, TEXT)),
        REFINING * float(forward_flops(config, full, 0, TEXT)),
    )


def media(config: ModelConfig, geometry: Geometry, keyframes: Media | None = None) -> Media:
    """Random picture of a batch of one."""
    shape = 1, *geometry.video_shape
    return Media(
        torch.randn(shape),
        geometry.video_times(),
        torch.rand(1),
        torch.randn(1, TEXT, config.text_dim),
        torch.ones(1, TEXT, dtype=torch.bool),
        condition=torch.randn(shape),
        mask=torch.zeros(1, 1, *shape[2:]),
        keyframes=keyframes,
    )


def passes(config: ModelConfig, ways: Way) -> list[Callable[[], object]]:
    """One pass at full size, one of the small clip with keyframes, one of the refiner."""
    torch.manual_seed(0)
    plain, refiner = MMDiT(config), MMDiT(replace(config, sound=False))
    joint = MMDiT(replace(config, keyframes=True))
    large, stills = media(config, ways.full), media(config, ways.stills)
    small = media(config, ways.small, stills)
    heard = torch.randn(1, *ways.full.audio_shape)
    sound = Media(heard, ways.full.audio_times(), large.t, large.text, large.text_mask)
    return [
        lambda: plain(large, sound),
        lambda: joint(small, sound),
        lambda: refiner(large, None),
    ]


@torch.inference_mode()
def seconds(runs: list[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each pass; rounds alternate."""
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds + 1):
        for run, into in zip(runs, taken, strict=True):
            begun = time.perf_counter()
            run()
            into.append(time.perf_counter() - begun)
    return [statistics.median(each[1:]) for each in taken]  # the first of each warms up


def main() -> None:
    """Print both tables; the last line is one JSON object, its ratio of measured seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="128 x 128, within 50 s")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    big = named_config("8b")
    print("8b, PFLOP a clip | video tokens | small + stills | full | joint | refiner | full / ours")
    for size, length, fps in CLIPS:
        for space in (2, 4):
            ways = way(size, length, fps, space, 2)
            full, joint, refiner = cost(big, ways)
            counts = tokens(big, ways)
            print(
                f"{size[1]}x{size[0]} {length} s {fps:g}/s, {space}x smaller | {counts[0]:,} | "
                f"{counts[1]:,} + {counts[2]:,} | {full / 1e15:,.0f} | {joint / 1e15:,.0f} | "
                f"{refiner / 1e15:,.0f} | {full / (joint + refiner):.1f}"
            )
    config = named_config("test")
    ways = way((128, 128), 2, 16.0, 2, 2) if quick else way((256, 256), 4, 16.0, 2, 2)
    one, rounds = passes(config, ways), 3 if quick else 5
    times = seconds(one, rounds)
    whole, joint_s, refiner_s = MAKING * times[0], MAKING * times[1], REFINING * times[2]
    counted = cost(config, ways)
    print(
        f"test size, {ways.full.bucket} from {ways.small.bucket}: a pass takes "
        f"{times[0]:.3f} s at full size, {times[1]:.3f} s joint, {times[2]:.3f} s refining; a clip "
        f"{whole:.1f} s against {joint_s:.1f} + {refiner_s:.1f} s; by FLOPs the ratio is "
        f"{counted[0] / (counted[1] + counted[2]):.2f}"
    )
    result = {
        "name": "keyframes",
        "ratio": round(whole / (joint_s + refiner_s), 3),
        "aim": AIM,
        "ours": round(joint_s + refiner_s, 2),
        "peer": round(whole, 2),
        "unit": "s a clip",
        "versions": {"torch": version("torch")},
        "machine": f"{platform.machine()} {platform.system()}, 1 thread",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
