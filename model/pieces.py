"""A long film in pieces: which frames and latents each one makes, on the film's one clock.

A piece begins at a frame of which the film's latents say "and the next `time` frames are a latent
of their own", so its latents after the first are the film's own, and what two pieces share is
handed over as it is. The piece's first latent is one frame, as every clip's is. Sound latents are
the film's: a piece takes those from the one nearest to its beginning on, with their true times.

Letters: C channels, T h w of the film's picture latent, H W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from model.geometry import Geometry
from model.tiles import decode_whole_or_tiled
from model.vae import VideoCodec

CONTEXT = 8  # latents decoded before those that count; the embedded decoder sees 7 back


@dataclass(frozen=True)
class Piece(Geometry):
    """Frames `start` to start + frames of a film, as a clip of its own."""

    start: int = 0

    @property
    def seconds_before(self) -> float:
        """Where in the film it begins."""
        return self.start / self.fps

    @property
    def latents_before(self) -> int:
        """Picture latents of the film up to and with the piece's first frame, less one."""
        return self.start // self.video.time

    @property
    def sound_before(self) -> int:
        """Sound latents of the film that lie before the piece."""
        return round(self.seconds_before * self.audio.rate)

    @property
    def audio_latents(self) -> int:
        """Those up to the piece's end; at the film's end these are all of the film's."""
        samples = round((self.start + self.frames) / self.fps * self.audio.sample_rate)
        return max(1, round(samples / self.audio.hop) - self.sound_before)

    def audio_times(self) -> Tensor:
        """Centre of each sound latent in seconds from the piece's beginning, [L] float64."""
        first = self.sound_before
        ends = torch.arange(first, first + self.audio_latents + 1, dtype=torch.float64)
        ends = (ends * self.audio.hop - self.audio.lead).clamp(min=0)
        return (ends[:-1] + ends[1:]) / 2 / self.audio.sample_rate - self.seconds_before


def cut(film: Geometry, frames: int, overlap: int) -> list[Piece]:
    """Pieces of `frames` that share `overlap` with the one before; the last shares more, if need
    be, and ends with the film. Both numbers are 1 + time * k.
    """
    step, last = frames - overlap, film.frames - frames
    begins = [*range(0, last, step), last] if last > 0 else [0]
    size = min(frames, film.frames)
    return [
        Piece(size, film.height, film.width, film.fps, film.video, film.audio, start=start)
        for start in begins
    ]


def decoded_in_time(
    vae: VideoCodec, latent: Tensor, at_once: int, context: int = CONTEXT
) -> Iterator[Tensor]:
    """Frames [3,f,H,W] of a film's latent [C,T,h,w], `at_once` latents' after each other, each
    with `context` latents before them.

    The frames of the latent before each cut are decoded twice and blended over, for decoders that
    look back farther than the context.
    """
    time, held = vae.spec.time, None
    for begin in range(0, latent.shape[1], at_once):
        end = min(begin + at_once, latent.shape[1])
        first = max(0, begin - context)
        pixels = decode_whole_or_tiled(vae, latent[None, :, first:end].float())[0]
        if held is not None:
            skipped = 1 + (begin - first - 2) * time if begin - first > 1 else 0
            seam = pixels[:, skipped : skipped + held.shape[1]]
            share = (torch.arange(held.shape[1]) + 0.5).to(held) / held.shape[1]
            share = share[:, None, None]
            yield held * (1 - share) + seam * share
            pixels = pixels[:, skipped + held.shape[1] :]
        left = min(time, pixels.shape[1]) if end < latent.shape[1] else 0
        if pixels.shape[1] > left:
            yield pixels[:, : pixels.shape[1] - left]
        held = pixels[:, pixels.shape[1] - left :] if left else None
