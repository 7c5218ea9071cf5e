"""Seconds, frames, samples, latents: every conversion between them, and the clock they share.

A clip has F = 1 + 4k frames where the video VAE's stride in time is 4 (LTX-2's is 8). The VAE is
causal: the first frame alone makes latent 0, each stride of later frames makes one latent, so
T = 1 + k. The audio latent count L follows from the video's
duration, never from the decoded sound (SkyReels-V4 §3.1: 81 frames at 16 fps, 21 latents, and 218
audio latents at 44.1 kHz with a hop of 1024).

Letters: F frames, T video latents, H W pixels, h w latent rows and columns, S samples, L audio
latents.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class VideoSpec:
    """What a video VAE makes of pixels."""

    channels: int = 16
    time: int = 4
    space: int = 8


@dataclass(frozen=True)
class AudioSpec:
    """What an audio VAE makes of samples: one latent every `hop` samples.

    Latent k covers the samples of its hop, or, of a causal encoder, those `lead` samples earlier.
    """

    channels: int = 32
    sample_rate: int = 16_000
    hop: int = 1_280
    lead: int = 0

    @property
    def rate(self) -> float:
        """Latents a second."""
        return self.sample_rate / self.hop


@dataclass(frozen=True)
class Geometry:
    """The size of one clip in pixels and seconds; everything else is derived.

    Raises ValueError when a size is not a whole number of latents.
    """

    frames: int
    height: int
    width: int
    fps: float
    video: VideoSpec = VideoSpec()
    audio: AudioSpec = AudioSpec()

    def __post_init__(self) -> None:
        if self.frames < 1 or (self.frames - 1) % self.video.time:
            near = whole_frames(self.frames, self.video.time)
            raise ValueError(f"frames={self.frames} must be 1 + {self.video.time}k, e.g. {near}")
        if self.height % self.video.space or self.width % self.video.space:
            raise ValueError(
                f"{self.width}x{self.height} must be multiples of {self.video.space} pixels"
            )
        if self.fps <= 0:
            raise ValueError(f"fps={self.fps} must be positive")

    @property
    def seconds(self) -> float:
        """Duration; the last frame lasts 1/fps."""
        return self.frames / self.fps

    @property
    def samples(self) -> int:
        """Sound samples that belong to the clip."""
        return round(self.seconds * self.audio.sample_rate)

    @property
    def latent_frames(self) -> int:
        """T."""
        return 1 + (self.frames - 1) // self.video.time

    @property
    def audio_latents(self) -> int:
        """L, rounded as in the paper: at most half a hop of sound is padded or cut at the end."""
        return max(1, round(self.samples / self.audio.hop))

    @property
    def video_shape(self) -> tuple[int, int, int, int]:
        """(C, T, h, w) of the video latent."""
        space = self.video.space
        return (
            self.video.channels,
            self.latent_frames,
            self.height // space,
            self.width // space,
        )

    @property
    def audio_shape(self) -> tuple[int, int]:
        """(C, L) of the audio latent."""
        return self.audio.channels, self.audio_latents

    @property
    def bucket(self) -> str:
        """The name that clips of one shape share: `64x64x17@8`."""
        return f"{self.width}x{self.height}x{self.frames}@{self.fps:g}"

    def video_times(self) -> Tensor:
        """Centre of each video latent in seconds, [T] float64: mean of the frames it covers."""
        first = torch.tensor([0.5], dtype=torch.float64)
        later = torch.arange(1, self.latent_frames, dtype=torch.float64)
        step = self.video.time
        return torch.cat([first, later * step - step / 2 + 1]) / self.fps

    def audio_times(self) -> Tensor:
        """Centre of each audio latent in seconds, [L] float64."""
        ends = torch.arange(self.audio_latents + 1, dtype=torch.float64) * self.audio.hop
        ends = (ends - self.audio.lead).clamp(min=0)
        return (ends[:-1] + ends[1:]) / 2 / self.audio.sample_rate


def check_pixels(pixels: Tensor, spec: VideoSpec) -> None:
    """Raises ValueError unless pixels are [B,3,F,H,W] of whole latents."""
    if pixels.ndim != 5 or pixels.shape[1] != 3:
        raise ValueError(f"pixels have shape {tuple(pixels.shape)}; it must be [B,3,F,H,W]")
    frames, height, width = pixels.shape[2:]
    if (frames - 1) % spec.time or height % spec.space or width % spec.space:
        raise ValueError(
            f"{frames} frames of {width}x{height}: frames must be 1 + {spec.time}k, "
            f"sides multiples of {spec.space}"
        )


def whole_frames(frames: int, time: int = 4) -> int:
    """The largest 1 + time*k that is at most `frames` (at least 1)."""
    return max(1, 1 + (frames - 1) // time * time)
