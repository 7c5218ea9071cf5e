"""A tiny refiner on held-out generated films, beside plain upsampling and frame interpolation.

Films of 64 x 64 at 16 frames a second are the truth; a refiner gets the latents of the same films
at 32 x 32 and 8, and with keyframes those of two stills a second. It trains for `--minutes` of CPU
with the training's own step (jobs/training/step.py). PSNR in dB of decoded pixels, over all pixels
and frames of each clip, mean of clips; "moving" counts only where the truth changes from frame to
frame. Peers are given the decoded small film: what a person would do without a refiner.
"""

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.refiner_films import (
    CPU,
    HIGH,
    LOW,
    NOTHING,
    STILLS,
    Clip,
    Maker,
    decoded,
    make_clip,
    measure,
    peers,
    world,
)
from benchmarks.refiner_fit import recipe, train
from curation.progress import progress
from jobs.clips import Sampling, Scene, sample
from jobs.training.config import Refine, TrainConfig
from jobs.training.sharpen import unknown
from jobs.training.tasks import Objective
from model.guidance import Guidance
from model.mmdit import MMDiT
from model.noise import Draw
from model.vae import VideoCodec, load_video_vae

AIM = 3.0  # dB above the best peer
UNSEEN = 1_000_000  # index of the first film that no training sees


def refined(model: MMDiT, vae: VideoCodec, *, keyframes: bool, steps: int) -> Maker:
    """A maker of pixels from a clip's small latents."""
    refine = Refine(keyframes="keyframes" if keyframes else None)
    config = TrainConfig(rendition="high", refine=refine)
    objective = Objective(
        config, 0, {"black.high.clip": NOTHING}, model.config.text_dim, CPU, torch.float32
    )
    text = torch.zeros(0, model.config.text_dim)

    def make(clip: Clip) -> NDArray[np.uint8]:
        draw = Draw(0, clip.sample.clip_id, 0)
        coarse = unknown([clip.sample], [draw], objective, NOTHING, plain=True)[0]
        scene = Scene(HIGH, text, draw, silent=True)
        made = sample(model, scene, coarse, Sampling(steps, Guidance()))
        assert made.picture is not None
        return decoded(vae, made.picture)

    return make


def main() -> None:
    """Train, measure, print the table; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds of training, < 50 s")
    parser.add_argument("--minutes", type=float, default=7.0, help="of CPU, of training")
    parser.add_argument("--films", type=int, default=800, help="films to train on")
    parser.add_argument("--keep", type=Path, help="folder of trained weights; goes on from them")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    minutes, films, held = (0.25, 32, 4) if asked.quick else (asked.minutes, asked.films, 32)
    torch.set_num_threads(asked.threads)
    cv2.setNumThreads(1)
    vae, config = load_video_vae(), world()
    with progress("films", films + held, "films") as advance:
        clips = []
        for index in [*range(films), *range(UNSEEN, UNSEEN + held)]:
            clips.append(make_clip(config, index, vae))
            advance()
    known, unseen = clips[:films], clips[films:]
    fit = train(known, recipe(8), minutes, asked.keep and asked.keep / "refiner.safetensors")
    model = fit.averaged()
    weights = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"refiner of {weights:.2f} M weights, {fit.step} steps on {films} films, "
        f"loss {fit.loss:.3f}; {held} held-out films; low {LOW.bucket}, high {HIGH.bucket}, "
        f"stills {STILLS.bucket}"
    )
    makers = peers(vae)
    for keyframes in (False, True):
        for count in (1, 4, 8):
            given = "with" if keyframes else "no"
            name = f"refiner, {count} step{'s' * (count > 1)}, {given} keyframes"
            makers[name] = refined(model, vae, keyframes=keyframes, steps=count)
    makers["truth through the autoencoder"] = lambda clip: decoded(vae, clip.sample.videos["high"])
    table = {}
    print("| made by | PSNR | moving pixels |\n| --- | --- | --- |")
    for name, make in makers.items():
        table[name] = measure(make, unseen)
        print(f"| {name} | {table[name][0]:.2f} | {table[name][1]:.2f} |", flush=True)
    peer = max(table[name][0] for name in peers(vae))
    plain = max(v[0] for n, v in table.items() if n.startswith("refiner") and "no key" in n)
    keyed = max(v[0] for n, v in table.items() if n.startswith("refiner") and "with" in n)
    result = {
        "name": "refiner",
        "ratio": round(plain - peer, 2),
        "aim": AIM,
        "ours": round(plain, 2),
        "peer": round(peer, 2),
        "unit": "dB",
        "with_keyframes": round(keyed, 2),
        "versions": {name: version(name) for name in ("torch", "numpy", "opencv-python-headless")},
        "machine": f"{platform.machine()} {platform.system()}, {asked.threads} threads",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
