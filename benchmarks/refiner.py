"""A tiny refiner on held-out generated films, beside plain upsampling and frame interpolation.

Films of 64 x 64 at 16 frames a second are the truth; a refiner gets the latents of the same films
at 32 x 32 and 8, and with keyframes those of two stills a second. It trains for `--minutes` of CPU
with the training's own step (jobs/training/step.py). PSNR in dB of decoded pixels, over all pixels
and frames of each clip, mean of clips; "moving" counts only where the truth changes from frame to
frame. Peers are given the decoded small film: what a person would do without a refiner.
"""

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from curation.progress import progress
from curation.world.config import WorldConfig
from curation.world.film import make_clean_film
from jobs.clips import Sampling, Scene, sample
from jobs.training.config import Refine, TaskMix, TrainConfig
from jobs.training.engine import make_optimizer, rate
from jobs.training.sharpen import unknown
from jobs.training.step import losses, make_batch, weighted
from jobs.training.tasks import Objective, counts
from model.config import named_config
from model.geometry import Geometry, VideoSpec
from model.guidance import Guidance
from model.mmdit import MMDiT
from model.noise import Draw
from model.tiles import encode_whole_or_tiled
from model.vae import VideoCodec, load_video_vae
from pipelines.stream import Sample

AIM = 3.0  # dB above the best peer
SIDE, FPS, FRAMES = 64, 16.0, 33
HIGH = Geometry(FRAMES, SIDE, SIDE, FPS)
LOW = Geometry(17, SIDE // 2, SIDE // 2, FPS / 2)
STILLS = Geometry(4, SIDE, SIDE, 2.0, VideoSpec(time=1))
SHAPES = {"base": LOW, "keyframes": STILLS, "high": HIGH}
UNSEEN = 1_000_000  # index of the first film that no training sees
CPU = torch.device("cpu")
NOTHING = torch.zeros(HIGH.video_shape)  # black is not needed where all is refined
Between = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Clip:
    """One film: its sample for training and its true pixels uint8 [F,H,W,3]."""

    sample: Sample
    truth: NDArray[np.uint8]


def world() -> WorldConfig:
    """The demo's world (jobs/recipes/demo.yaml) at twice its rate."""
    seconds = (FRAMES + 1) / FPS
    return WorldConfig(
        seed=6,
        height=SIDE,
        width=SIDE,
        fps=FPS,
        seconds=(seconds, seconds),
        radius=(0.2, 0.2),
        gravity=2.5,
    )


@torch.inference_mode()
def make_clip(config: WorldConfig, index: int, vae: VideoCodec) -> Clip:
    """Film `index` and its latents. A frame of n source frames is the one at the middle of them, as
    in the encode pass.
    """
    film = make_clean_film(config, index).pixels
    truth = film[:FRAMES]
    half = np.stack(
        [cv2.resize(f, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA) for f in film]
    )
    shown = {
        "base": half[1::2][: LOW.frames],
        "keyframes": film[4::8][: STILLS.frames],
        "high": truth,
    }
    videos = {
        name: encode_whole_or_tiled(vae, to_pixels(frames), stills=name == "keyframes")[0].half()
        for name, frames in shown.items()
    }
    name = f"{index:016x}-0-{round(HIGH.seconds * 1000)}"
    return Clip(Sample(name, 0, "clip", LOW, videos, None, {}, {}, shapes=SHAPES), truth)


def to_pixels(frames: NDArray[np.uint8]) -> Tensor:
    """uint8 [F,H,W,3] to [1,3,F,H,W] in −1…1."""
    return torch.from_numpy(np.array(frames)).movedim(-1, 0)[None].float() / 127.5 - 1


def train(clips: list[Clip], minutes: float, batch: int) -> tuple[MMDiT, int, float]:
    """A refiner trained for `minutes` of CPU by the training's own step; its steps, its loss."""
    config = TrainConfig(
        rendition="high",
        refine=Refine(keyframes="keyframes", dropped=0.5, noise=0.1),
        tasks=TaskMix(text_to_av=1, image_to_av=0, extend=0),
        lr=4e-3, warmup=50, schedule="cosine", final_lr=0.02, workers=1,
        global_batch=batch,
    )  # fmt: skip
    torch.manual_seed(0)
    shape = named_config("tiny", sound=False)
    model = MMDiT(shape)
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    objective = Objective(
        config, 0, {"black.high.clip": NOTHING}, shape.text_dim, CPU, torch.float32
    )
    optimizer = make_optimizer(model, config)
    begun, step, shown = time.process_time(), 0, 0.0
    order = walk(len(clips), batch)
    with progress("refiner", int(minutes * 60), "s") as advance:
        while (done := (time.process_time() - begun) / (60 * minutes)) < 1:
            samples = [replaced(clips[row].sample, visit) for row, visit in next(order)]
            made = make_batch(samples, objective, shape, audio=False)
            loss = weighted(losses(model, made), config, counts(samples, objective))
            loss.backward()
            # the schedule runs on the clock: how many steps there will be nobody knows
            at = config.model_copy(update={"steps": 10_000})
            for group in optimizer.param_groups:
                group["lr"] = min(rate(at, step), rate(at, max(config.warmup, int(done * 10_000))))
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            decay = min(0.995, (1 + step) / (10 + step))
            with torch.no_grad():
                for name, p in model.named_parameters():
                    average[name].lerp_(p, 1 - decay)
            shown = 0.98 * shown + 0.02 * float(loss.detach()) if step > 1 else float(loss.detach())
            advance(
                max(0, int(time.process_time() - begun) - int(done * 60 * minutes)), f"{shown:.3f}"
            )
    model.load_state_dict(average)
    return model.eval().requires_grad_(requires_grad=False), step, shown


def walk(clips: int, batch: int) -> Iterator[list[tuple[int, int]]]:
    """Rows with their visit, in shuffled epochs."""
    visit = 0
    while True:
        order = np.random.default_rng([1, visit]).permutation(clips)
        for start in range(0, clips - batch + 1, batch):
            yield [(int(row), visit) for row in order[start : start + batch]]
        visit += 1


def replaced(sample: Sample, visit: int) -> Sample:
    """The sample at another visit."""
    return Sample(**{**vars(sample), "visit": visit})


def refined(
    model: MMDiT, vae: VideoCodec, *, keyframes: bool, steps: int
) -> Callable[[Clip], NDArray[np.uint8]]:
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


@torch.inference_mode()
def decoded(vae: VideoCodec, latent: Tensor) -> NDArray[np.uint8]:
    """Pixels uint8 [F,H,W,3] of a latent [C,T,h,w]."""
    pixels = vae.decode(latent[None].float())[0].movedim(0, -1)
    return ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def peers(vae: VideoCodec) -> dict[str, Callable[[Clip], NDArray[np.uint8]]]:
    """What stands beside the refiner; each gets the small clip's decoded frames, enlarged."""

    def large(clip: Clip) -> NDArray[np.float32]:
        small = decoded(vae, clip.sample.videos["base"])
        frames = torch.from_numpy(small).movedim(-1, 1).float()
        wide = functional.interpolate(frames, (SIDE, SIDE), mode="bicubic", align_corners=False)
        return wide.clamp(0, 255).movedim(1, -1).numpy()

    def frames(rule: Between) -> Callable[[Clip], NDArray[np.uint8]]:
        def make(clip: Clip) -> NDArray[np.uint8]:
            known = large(clip)  # frame k is the film's frame 2k + 1
            out = np.empty((FRAMES, SIDE, SIDE, 3), np.float32)
            out[0] = known[0]
            out[1::2] = known[: FRAMES // 2]
            for k in range(FRAMES // 2):
                out[2 * k + 2] = rule(known[k], known[k + 1])
            return out.round().clip(0, 255).astype(np.uint8)

        return make

    def coarse(clip: Clip) -> NDArray[np.uint8]:
        config = TrainConfig(rendition="high", refine=Refine())
        objective = Objective(config, 0, {"black.high.clip": NOTHING}, 1, CPU, torch.float32)
        draw = Draw(0, clip.sample.clip_id, 0)
        return decoded(vae, unknown([clip.sample], [draw], objective, NOTHING, plain=True)[0])

    return {
        "bicubic, frames repeated": frames(lambda a, _: a),
        "bicubic, frames blended": frames(lambda a, b: (a + b) / np.float32(2)),
        "bicubic, frames by optical flow": frames(by_flow),
        "latents upsampled, decoded": coarse,
    }


def by_flow(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """The frame between two: both warped half way along DIS optical flow, and blended."""
    grey = [cv2.cvtColor(f.astype(np.uint8), cv2.COLOR_RGB2GRAY) for f in (first, second)]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    y, x = np.mgrid[: first.shape[0], : first.shape[1]].astype(np.float32)
    halves = []
    for frame, pair in ((first, grey), (second, grey[::-1])):
        flow = dis.calc(*pair, None)  # where each pixel goes: half of it back finds its source
        where = (x - flow[..., 0] / 2, y - flow[..., 1] / 2)
        halves.append(cv2.remap(frame, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray((halves[0] + halves[1]) / 2, dtype=np.float32)


def measure(make: Callable[[Clip], NDArray[np.uint8]], clips: list[Clip]) -> tuple[float, float]:
    """Mean PSNR of clips in dB, and of the pixels that move."""
    everything, moving = [], []
    for clip in clips:
        error = np.square(make(clip).astype(np.float64) - clip.truth).mean(-1)  # [F,H,W]
        change = np.abs(np.diff(clip.truth.astype(int), axis=0)).max(-1) > 8
        touched = np.zeros(error.shape, bool)
        touched[1:] |= change
        touched[:-1] |= change
        everything.append(decibels(error.mean()))
        if touched.any():
            moving.append(decibels(error[touched].mean()))
    return float(np.mean(everything)), float(np.mean(moving))


def decibels(error: float) -> float:
    """PSNR of a mean squared error of 0…255."""
    return 10 * math.log10(255**2 / max(error, 1e-3))


def main() -> None:
    """Train, measure, print the table; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds of training, < 50 s")
    parser.add_argument("--minutes", type=float, default=7.0, help="of CPU, of training")
    parser.add_argument("--films", type=int, default=800, help="films to train on")
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
    model, steps, loss = train(known, minutes, 8)
    weights = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"refiner of {weights:.2f} M weights, {steps} steps on {films} films, loss {loss:.3f}; "
        f"{held} held-out films; low {LOW.bucket}, high {HIGH.bucket}, stills {STILLS.bucket}"
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
