"""Films of the refiner's benchmark: their truth, their latents, and what a person makes of the
small film without a refiner.

Letters: F frames, H W pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from curation.world.config import WorldConfig
from curation.world.film import make_clean_film
from jobs.training.config import Refine, TrainConfig
from jobs.training.sharpen import unknown
from jobs.training.tasks import Objective
from model.geometry import Geometry, VideoSpec
from model.noise import Draw
from model.tiles import encode_whole_or_tiled
from model.vae import VideoCodec
from pipelines.stream import Sample

SIDE, FPS, FRAMES = 64, 16.0, 33
HIGH = Geometry(FRAMES, SIDE, SIDE, FPS)
LOW = Geometry(17, SIDE // 2, SIDE // 2, FPS / 2)
STILLS = Geometry(4, SIDE, SIDE, 2.0, VideoSpec(time=1))
SHAPES = {"base": LOW, "keyframes": STILLS, "high": HIGH}
CPU = torch.device("cpu")
NOTHING = torch.zeros(HIGH.video_shape)  # black is not needed where all is refined
Maker = Callable[["Clip"], NDArray[np.uint8]]
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


@torch.inference_mode()
def decoded(vae: VideoCodec, latent: Tensor) -> NDArray[np.uint8]:
    """Pixels uint8 [F,H,W,3] of a latent [C,T,h,w]."""
    pixels = vae.decode(latent[None].float())[0].movedim(0, -1)
    return ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def peers(vae: VideoCodec) -> dict[str, Maker]:
    """What stands beside the refiner; each gets the small clip's decoded frames, enlarged."""

    def large(clip: Clip) -> NDArray[np.float32]:
        small = decoded(vae, clip.sample.videos["base"])
        frames = torch.from_numpy(small).movedim(-1, 1).float()
        wide = functional.interpolate(frames, (SIDE, SIDE), mode="bicubic", align_corners=False)
        return wide.clamp(0, 255).movedim(1, -1).numpy()

    def frames(rule: Between) -> Maker:
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


def measure(make: Maker, clips: list[Clip]) -> tuple[float, float]:
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
