"""A training step of `tiny` against diffusers' LTX2VideoTransformer3DModel, its nearest relative.

Both: one forward, one backward, fused AdamW, float32, one thread, same width, depth, heads and
tokens, random inputs of one shape. The networks differ (LTX-2 has no text stream, ours no prompt
AdaLN), so the ratio is of achieved FLOP/s: FLOPs by torch's own counter on both (attention as plain
products, the CPU's fused kernel is unknown to it), over time. Runs alternate in one process;
the figure is the median of the pairs' ratios, and plain seconds stand beside it.
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import starmap

import torch
from diffusers import LTX2VideoTransformer3DModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.config import ModelConfig, named_config
from model.flops import token_counts
from model.geometry import Geometry
from model.mmdit import MMDiT
from model.tower import Media

AIM = 1.0
WARM_UPS = 3
TEXT = 20  # tokens of a short caption
CLIP = Geometry(17, 64, 64, 8.0)  # the demo's clip: 80 video and 27 audio tokens
Forward = Callable[[], tuple[Tensor, Tensor]]


def ours(config: ModelConfig, batch: int) -> tuple[nn.Module, Forward]:
    """The joint model and its forward pass."""
    model = MMDiT(config)
    t, text = torch.rand(batch), torch.randn(batch, TEXT, config.text_dim)
    mask = torch.ones(batch, TEXT, dtype=torch.bool)
    shape = batch, *CLIP.video_shape
    video = Media(
        torch.randn(shape),
        CLIP.video_times(),
        t,
        text,
        mask,
        condition=torch.randn(shape),
        mask=torch.zeros(batch, 1, *shape[2:]),
    )
    audio = Media(torch.randn(batch, *CLIP.audio_shape), CLIP.audio_times(), t, text, mask)

    def forward() -> tuple[Tensor, Tensor]:
        picture, sound = model(video, audio)
        assert picture is not None
        assert sound is not None
        return picture, sound

    return model, forward


def peer(config: ModelConfig, batch: int) -> tuple[nn.Module, Forward]:
    """LTX-2's transformer at our width, depth, heads and channels."""
    channels = (2 * config.video_channels + 1) * config.patch**2
    model = LTX2VideoTransformer3DModel(
        in_channels=channels,
        out_channels=config.video_channels * config.patch**2,
        num_attention_heads=config.heads,
        attention_head_dim=config.head_dim,
        cross_attention_dim=config.width,
        audio_in_channels=config.audio_channels,
        audio_out_channels=config.audio_channels,
        audio_num_attention_heads=config.heads,
        audio_attention_head_dim=config.head_dim,
        audio_cross_attention_dim=config.width,
        num_layers=config.dual + config.single,
        caption_channels=config.text_dim,
    )
    tokens = token_counts(config, CLIP)
    _, frames, rows, cols = CLIP.video_shape
    inputs = {
        "hidden_states": torch.randn(batch, tokens[0], channels),
        "audio_hidden_states": torch.randn(batch, tokens[1], config.audio_channels),
        "encoder_hidden_states": torch.randn(batch, TEXT, config.text_dim),
        "audio_encoder_hidden_states": torch.randn(batch, TEXT, config.text_dim),
        "timestep": torch.randint(0, 1000, (batch, 1)),
        "sigma": torch.rand(batch),
        "num_frames": frames,
        "height": rows // config.patch,
        "width": cols // config.patch,
        "audio_num_frames": tokens[1],
        "return_dict": False,
    }
    return model, lambda: model(**inputs)


def optimiser(model: nn.Module) -> torch.optim.Optimizer:
    """The same for both."""
    return torch.optim.AdamW(model.parameters(), 1e-4, fused=True)


def step(forward: Forward, optimizer: torch.optim.Optimizer) -> float:
    """Seconds of one training step; the loss is the mean square of both outputs less one."""
    begun = time.perf_counter()
    optimizer.zero_grad()
    loss = torch.stack([(out - 1).square().mean() for out in forward()]).sum()
    loss.backward()
    optimizer.step()
    return time.perf_counter() - begun


def flops(forward: Forward) -> int:
    """FLOPs of a forward and a backward pass by torch's counter."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        torch.stack([out.square().mean() for out in forward()]).sum().backward()
    return counter.get_total_flops()


def check(model: nn.Module, forward: Forward) -> None:
    """A step that is fast because nothing flows is no step."""
    assert all(out.isfinite().all() for out in forward())
    alive = sum(p.grad is not None and bool(p.grad.any()) for p in model.parameters())
    assert alive > 0.8 * len(list(model.parameters())), f"only {alive} weights get a gradient"


def interval(ratios: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    draw = random.Random(0)  # noqa: S311 - statistics, not secrets
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(1000))
    return medians[25], medians[975]


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 pairs at batch 8, within 50 s")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config, batch, pairs = named_config("tiny"), *((8, 20) if quick else (16, 60))
    names = "reelmill tiny", "diffusers LTX-2"
    sides = [make(config, batch) for make in (ours, peer)]
    optimizers = [optimiser(model) for model, _ in sides]
    for (_, forward), optimizer in zip(sides, optimizers, strict=True):
        for _ in range(WARM_UPS):
            step(forward, optimizer)
    list(starmap(check, sides))
    work = [flops(forward) for _, forward in sides]
    seconds: list[list[float]] = [[], []]
    for _ in range(pairs):
        for side in (0, 1):
            seconds[side].append(step(sides[side][1], optimizers[side]))
    speeds = [[work[i] / s / 1e9 for s in seconds[i]] for i in (0, 1)]
    ratios = [a / b for a, b in zip(*speeds, strict=True)]
    for i in (0, 1):
        weights = sum(p.numel() for p in sides[i][0].parameters()) / 1e6
        print(
            f"{names[i]:<16} {weights:5.2f} M weights  {work[i] / 1e9:6.2f} GFLOP a step  "
            f"{statistics.median(seconds[i]):.3f} s  {statistics.median(speeds[i]):5.1f} GFLOP/s"
        )
    low, high = interval(ratios)
    print(f"batch {batch}, {pairs} alternating pairs, ratio 95 % interval {low:.2f} to {high:.2f}")
    print(
        json.dumps(
            {
                "name": "train_step",
                "ratio": round(statistics.median(ratios), 3),
                "aim": AIM,
                "ours": round(statistics.median(speeds[0]), 2),
                "peer": round(statistics.median(speeds[1]), 2),
                "unit": "achieved GFLOP/s",
                "versions": {name: version(name) for name in ("torch", "diffusers")},
                "machine": f"{platform.machine()} {platform.system()}, 1 thread",
            }
        )
    )


if __name__ == "__main__":
    main()
