"""From text and known picture to an mp4: what `generate` and the training loop share.

One clip at a time: padding or batching with others would make a clip's bits depend on its company,
and `clip.json` could not reproduce it.

Letters: C latent channels, T video latents, h w latent rows and columns, N text tokens, D text
channels, F frames, S samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curation.media_write import write_clip
from model.conditions import condition
from model.geometry import Geometry
from model.guidance import Guidance, Velocity, guide
from model.mmdit import Media
from model.noise import Draw
from model.references import Reference, gather
from model.sample import Method, grid, integrate
from model.tiles import decode_whole_or_tiled, encode_whole_or_tiled
from model.vae import AudioCodec, VideoCodec


@dataclass(frozen=True)
class Given:
    """A latent [C,T,h,w] or [C,L] and the mask [1,T,h,w] or [1,L] of what is kept of it."""

    latent: Tensor
    keep: Tensor


@dataclass(frozen=True)
class Scene:
    """One clip to make, and the clean latents of what is known of it."""

    geometry: Geometry
    text: Tensor  # [N,D]; [0,D] is no text
    draw: Draw
    video: Given | None = None
    audio: Given | None = None
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """How a scene is sampled."""

    steps: int
    guidance: Guidance
    shift: float = 1.0
    method: Method = "euler"


@dataclass(frozen=True)
class Decoders:
    """The two autoencoders."""

    video: VideoCodec
    audio: AudioCodec

    def black(self, geometry: Geometry) -> Tensor:
        """The latent [C,T,h,w] of black frames: what a condition holds where nothing is known."""
        shape = (1, 3, geometry.frames, geometry.height, geometry.width)
        return encode_video(self.video, torch.full(shape, -1.0))[0]


@dataclass(frozen=True)
class Film:
    """Decoded clip: pixels uint8 [F,H,W,3], samples float32 [channels,S] at `rate`."""

    pixels: NDArray[np.uint8]
    samples: NDArray[np.float32]
    rate: int
    geometry: Geometry

    def write(self, path: Path) -> None:
        """Write H.264 and AAC, picture and sound from time 0."""
        write_clip(path, self.pixels, self.geometry.fps, self.samples, self.rate)


@torch.no_grad()
def sample(
    model: Velocity,
    scene: Scene,
    black: Tensor,
    sampling: Sampling,
    on_step: Callable[[int], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Clean latents [C,T,h,w] and [C,L] of one scene."""
    g = scene.geometry
    C, T, h, w = g.video_shape
    device = black.device
    clean, mask = black.float(), torch.zeros(1, T, h, w, device=device)
    if scene.video is not None:
        clean, mask = scene.video.latent.to(clean), scene.video.keep.to(clean)
    known = condition(clean[None], mask[None], black)
    text = scene.text.float()[None].to(device)
    if not text.shape[1]:
        text = text.new_zeros(1, 1, text.shape[2])
    common: dict[str, Any] = {
        "t": torch.zeros(1, device=device),
        "text": text,
        "text_mask": torch.full(text.shape[:2], bool(len(scene.text)), device=device),
    }
    before = [r and r.to(device, torch.float32) for r in gather([scene.references])]
    video = Media(
        latent=scene.draw.normal("video", (C, T, h, w))[None].to(device),
        times=g.video_times().to(device),
        condition=known.latent,
        mask=known.mask,
        references=before[0],
        **common,
    )
    audio = Media(
        latent=scene.draw.normal("audio", g.audio_shape)[None].to(device),
        times=g.audio_times().to(device),
        condition=None if scene.audio is None else scene.audio.latent[None].to(black.float()),
        mask=None if scene.audio is None else scene.audio.keep[None].to(black.float()),
        references=before[1],
        **common,
    )
    times = grid(sampling.steps, sampling.shift)
    velocity = guide(model, sampling.guidance)
    picture, sound = integrate(velocity, video, audio, times, sampling.method, on_step)
    assert picture is not None
    assert sound is not None
    return picture[0], sound[0]


@torch.no_grad()
def decode(decoders: Decoders, picture: Tensor, sound: Tensor, geometry: Geometry) -> Film:
    """Latents as pixels and samples. Raises ValueError when a value is not finite."""
    if not (torch.isfinite(picture).all() and torch.isfinite(sound).all()):
        raise ValueError("the sampler gave NaN or Inf: the checkpoint is not usable")
    pixels = decode_whole_or_tiled(decoders.video, picture[None].float())[0]  # [3,F,H,W]
    samples = decoders.audio.decode(sound[None].float(), samples=geometry.samples)[0]
    frames = ((pixels.permute(1, 2, 3, 0) + 1) * 127.5).round().clamp(0, 255)
    return Film(
        frames.to(torch.uint8).cpu().numpy(),
        samples.float().clamp(-1, 1).cpu().numpy(),
        decoders.audio.decoded_rate,
        geometry,
    )


def encode_frames(vae: VideoCodec, frames: NDArray[np.uint8]) -> Tensor:
    """Latent [C,T,h,w] of pixels [F,H,W,3], F = 1 + the VAE's stride x k."""
    pixels = torch.from_numpy(np.array(frames)).permute(3, 0, 1, 2).float() / 127.5 - 1
    return encode_video(vae, pixels[None])[0]


@torch.no_grad()
def encode_video(vae: VideoCodec, pixels: Tensor) -> Tensor:
    """Latent [B,C,T,h,w] of pixels [B,3,F,H,W] in −1…1."""
    return encode_whole_or_tiled(vae, pixels)
