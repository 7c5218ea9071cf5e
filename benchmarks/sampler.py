"""What an Euler step costs outside the model, against diffusers' FlowMatchEulerDiscreteScheduler.

The model is a function that gives ready velocities, so what is left is the sampler: ours walks
picture and sound as `generate` does (condition and an empty mask of the picture included); the
peer's loop is what LTX-2's pipeline does a step, one scheduler for the picture and one for the
sound, and of the picture alone one. Float32, one thread, processor time. The ratio is of the best
of many alternating rounds: a busy machine only ever adds to it.
"""

import argparse
import json
import platform
import time
from importlib.metadata import version
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from model.geometry import Geometry
from model.guidance import Velocity
from model.sample import grid, integrate
from model.tower import Media

AIM = 0.5
STEPS = 50
CLIP = Geometry(17, 64, 64, 8.0)  # the demo's clip


def media(clip: Geometry) -> tuple[Media, Media]:
    """Noise for picture and sound, with no part of either known."""
    shape = (1, *clip.video_shape)
    real = torch.ones(1, 20, dtype=torch.bool)
    text: dict[str, Any] = {"text": torch.zeros(1, 20, 384), "text_mask": real}
    video = Media(
        torch.randn(shape),
        clip.video_times(),
        torch.zeros(1),
        condition=torch.zeros(shape),
        mask=torch.zeros(1, 1, *shape[2:]),
        **text,
    )
    audio = Media(torch.randn(1, *clip.audio_shape), clip.audio_times(), torch.zeros(1), **text)
    return video, audio


def ready(video: Tensor, audio: Tensor) -> Velocity:
    """A model that has thought before: its velocities are there."""

    def model(seen: Media | None, heard: Media | None) -> tuple[Tensor | None, ...]:
        return None if seen is None else video, None if heard is None else audio

    return model


def ours(video: Media, audio: Media | None, model: Velocity) -> float:
    """Seconds a step."""
    times = grid(STEPS)
    begun = time.process_time_ns()
    integrate(model, video, audio, times)
    return (time.process_time_ns() - begun) / STEPS / 1e9


@torch.no_grad()
def peer(latents: list[Tensor], velocities: list[Tensor]) -> float:
    """Seconds a step, without setting the timesteps, which our side does in its time."""
    schedulers = [FlowMatchEulerDiscreteScheduler() for _ in latents]
    for scheduler in schedulers:
        scheduler.set_timesteps(STEPS)
    state = list(latents)
    begun = time.process_time_ns()
    for t in schedulers[0].timesteps:
        state = [
            scheduler.step(v, t, x, return_dict=False)[0]
            for scheduler, v, x in zip(schedulers, velocities, state, strict=True)
        ]
    return (time.process_time_ns() - begun) / STEPS / 1e9


def main() -> None:
    """Measure and print; the last line is one JSON object, its ratio of picture with sound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="40 rounds, some seconds")
    rounds = 40 if parser.parse_args().quick else 400
    torch.set_num_threads(1)
    torch.manual_seed(0)
    video, audio = media(CLIP)
    slopes = [torch.randn_like(m.latent) for m in (video, audio)]
    model = ready(slopes[0], slopes[1])
    sides = {
        "picture": (
            lambda: ours(video, None, model),
            lambda: peer([video.latent], slopes[:1]),
        ),
        "picture and sound": (
            lambda: ours(video, audio, model),
            lambda: peer([video.latent, audio.latent], slopes),
        ),
    }
    best = {name: [min(run() for _ in range(3)) for run in pair] for name, pair in sides.items()}
    for _ in range(rounds):
        for name, pair in sides.items():
            best[name] = [min(b, run()) for b, run in zip(best[name], pair, strict=True)]
    for name, (mine, theirs) in best.items():
        print(
            f"{name:<18} reelmill {mine * 1e6:5.1f} µs a step  diffusers {theirs * 1e6:5.1f} µs  "
            f"ratio {mine / theirs:.2f}"
        )
    mine, theirs = best["picture and sound"]
    print(
        json.dumps(
            {
                "name": "sampler",
                "ratio": round(mine / theirs, 3),
                "aim": AIM,
                "ours": round(mine * 1e6, 1),
                "peer": round(theirs * 1e6, 1),
                "unit": "µs a step outside the model, less is better",
                "versions": {name: version(name) for name in ("torch", "diffusers")},
                "machine": f"{platform.machine()} {platform.system()}, 1 thread",
            }
        )
    )


if __name__ == "__main__":
    main()
