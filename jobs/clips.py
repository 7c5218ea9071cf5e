"""From text and known picture to an mp4: what `generate` and the training loop share.

One clip at a time: padding or batching with others would make a clip's bits depend on its company,
and `clip.json` could not reproduce it.

Letters: C latent channels, T video latents, h w latent rows and columns, N text tokens, D text
channels, F frames, S samples.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curation.files import write_bytes
from curation.media_write import write_clip, write_sound
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
class Stills:
    """Keyframes that are made with a clip, [C,K,H,W]."""

    geometry: Geometry  # a latent a frame
    black: Tensor
    given: Given | None = None


@dataclass(frozen=True)
class Scene:
    """One clip to make, and the clean latents of what is known of it."""

    geometry: Geometry
    text: Tensor  # [N,D]; [0,D] is no text
    draw: Draw
    video: Given | None = None
    audio: Given | None = None
    references: tuple[Reference, ...] = ()
    stills: Stills | None = None
    silent: bool = False  # no sound is made: by a refiner, or because none is asked for
    blind: bool = False  # no picture is made


@dataclass(frozen=True)
class Latents:
    """What was made."""

    picture: Tensor | None  # [C,T,h,w]
    sound: Tensor | None  # [C,L]
    keyframes: Tensor | None = None  # [C,K,H,W]


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
        stills = geometry.video != self.video.spec
        return encode_video(self.video, torch.full(shape, -1.0), stills)[0]


@dataclass(frozen=True)
class Film:
    """Decoded clip: pixels uint8 [F,H,W,3], samples float32 [channels,S] at `rate`."""

    pixels: NDArray[np.uint8]
    samples: NDArray[np.float32]
    rate: int
    geometry: Geometry
    mute: bool = False  # written without its sound

    def write(self, path: Path) -> None:
        """Write what the path's ending says: H.264 and AAC, both from time 0, a wav, or a PNG."""
        if path.suffix == ".wav":
            write_sound(path, self.samples, self.rate)
        elif path.suffix == ".png":
            import cv2  # noqa: PLC0415 - only pictures need it

            write_bytes(path, cv2.imencode(".png", self.pixels[0, ..., ::-1])[1].tobytes())
        else:
            write_clip(
                path, self.pixels, self.geometry.fps, None if self.mute else self.samples, self.rate
            )


@torch.no_grad()
def sample(
    model: Velocity,
    scene: Scene,
    black: Tensor,
    sampling: Sampling,
    on_step: Callable[[int], None] | None = None,
) -> Latents:
    """Clean latents of one scene.

    `black` [C,T,h,w] is what the condition holds where nothing is kept: the latent of black
    frames, or for a refiner the small clip's latents, upsampled.
    """
    g = scene.geometry
    device = black.device
    text = scene.text.float()[None].to(device)
    if not text.shape[1]:
        text = text.new_zeros(1, 1, text.shape[2])
    common: dict[str, Any] = {
        "t": torch.zeros(1, device=device),
        "text": text,
        "text_mask": torch.full(text.shape[:2], bool(len(scene.text)), device=device),
    }
    before = [r and r.to(device, torch.float32) for r in gather([scene.references])]
    video = picture(scene, "video", black, scene.video, g, common)
    video = replace(video, references=before[0])
    if scene.stills is not None:
        s = scene.stills
        stills = picture(scene, "sharp keyframes", s.black.to(device), s.given, s.geometry, common)
        video = replace(video, keyframes=stills)
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
    seen, heard = None if scene.blind else video, None if scene.silent else audio
    made = integrate(velocity, seen, heard, times, sampling.method, on_step)
    shown, sound, still = (None if x is None else x[0] for x in (*made, None)[:3])
    return Latents(shown, sound, still)


def picture(
    scene: Scene,
    purpose: str,
    black: Tensor,
    given: Given | None,
    geometry: Geometry,
    common: dict[str, Any],
) -> Media:
    """Noise with what is known of a picture."""
    clean, mask = black.float(), torch.zeros(1, *black.shape[1:], device=black.device)
    if given is not None:
        clean, mask = given.latent.to(clean), given.keep.to(clean)
    known = condition(clean[None], mask[None], black)
    return Media(
        latent=scene.draw.normal(purpose, black.shape)[None].to(black.device),
        times=geometry.video_times().to(black.device),
        condition=known.latent,
        mask=known.mask,
        **common,
    )


@torch.no_grad()
def decode(
    decoders: Decoders, picture: Tensor | None, sound: Tensor | None, geometry: Geometry
) -> Film:
    """Latents as pixels and samples, silence without a sound, no frames without a picture.

    Raises ValueError for NaN or Inf.
    """
    if not all(torch.isfinite(x).all() for x in (picture, sound) if x is not None):
        raise ValueError("the sampler gave NaN or Inf: the checkpoint is not usable")
    pixels = torch.empty(3, 0, geometry.height, geometry.width)
    if picture is not None:
        pixels = decode_whole_or_tiled(decoders.video, picture[None].float())[0]  # [3,F,H,W]
    if sound is None:
        audio = decoders.audio
        samples = torch.zeros(audio.sounds, round(geometry.seconds * audio.decoded_rate))
    else:
        samples = decoders.audio.decode(sound[None].float(), samples=geometry.samples)[0]
    frames = ((pixels.permute(1, 2, 3, 0) + 1) * 127.5).round().clamp(0, 255)
    return Film(
        frames.to(torch.uint8).cpu().numpy(),
        samples.float().clamp(-1, 1).cpu().numpy(),
        decoders.audio.decoded_rate,
        geometry,
    )


def encode_frames(vae: VideoCodec, frames: NDArray[np.uint8], stills: bool = False) -> Tensor:
    """Latent [C,T,h,w] of pixels [F,H,W,3], F = 1 + the VAE's stride x k, or any of `stills`."""
    pixels = torch.from_numpy(np.array(frames)).permute(3, 0, 1, 2).float() / 127.5 - 1
    return encode_video(vae, pixels[None], stills)[0]


@torch.no_grad()
def encode_video(vae: VideoCodec, pixels: Tensor, stills: bool = False) -> Tensor:
    """Latent [B,C,T,h,w] of pixels [B,3,F,H,W] in −1…1."""
    return encode_whole_or_tiled(vae, pixels, stills=stills)
