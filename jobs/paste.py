"""What is known of a clip on its way into the sampler and back into the film.

Letters: C latent channels, T video latents, h w latent rows and columns, L audio latents, F frames,
H W pixels, S samples.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.clips import Decoders, Film, Given, encode_frames
from jobs.given import Known
from model.geometry import Geometry
from model.regions import pool_keep

FADE_S = 0.01  # crossfade between given and made sound


def encode_known(
    decoders: Decoders, known: Known, geometry: Geometry
) -> tuple[Given | None, Given | None]:
    """Latents of the given picture and sound with what of them is kept; None for what is not."""
    video = audio = None
    if known.keep.any():
        keep = pool_keep(torch.from_numpy(known.keep), geometry)
        video = Given(encode_frames(decoders.video, known.pixels), keep)
    if known.samples is not None and known.heard is not None:
        audio = Given(encode_sound(decoders, known.samples), pool_heard(known.heard, geometry))
    return video, audio


@torch.no_grad()
def encode_sound(decoders: Decoders, samples: NDArray[np.float32]) -> Tensor:
    """Latent [C,L] of samples [channels,S]."""
    return decoders.audio.encode(torch.from_numpy(samples)[None])[0]


def pool_heard(heard: tuple[float, float], geometry: Geometry) -> Tensor:
    """Mask [1,L] of the latents that lie wholly within the given seconds."""
    half = geometry.audio.hop / geometry.audio.sample_rate / 2
    centre = geometry.audio_times()
    begin = (centre - half).clamp(min=0)  # a causal encoder's first latent is shorter
    inside = (begin >= heard[0] - 1e-6) & (centre + half <= heard[1] + 1e-6)
    if heard[0] <= 0 and heard[1] >= geometry.seconds - 1e-6:
        inside = torch.ones_like(centre, dtype=torch.bool)  # half a latent may stand over the end
    return inside[None].float()


def pasted(film: Film, known: Known) -> Film:
    """The film with what was kept put back: pixels hard at the mask's border, sound faded over."""
    pixels = np.where(known.paste[..., None], known.pixels, film.pixels)
    samples = film.samples
    if known.samples is not None and known.heard is not None:
        samples = faded(samples, resampled(known, film), known.heard, film.rate)
    return replace(film, pixels=pixels, samples=samples)


def resampled(known: Known, film: Film) -> NDArray[np.float32]:
    """The given sound at the film's rate, length and number of channels."""
    assert known.samples is not None
    channels, length = film.samples.shape
    given = torch.from_numpy(known.samples)
    if given.shape[1] != length:
        from scipy.signal import resample  # noqa: PLC0415 - only where a vocoder raises the rate

        given = torch.from_numpy(resample(known.samples, length, axis=1).astype(np.float32))
    if given.shape[0] != channels:
        given = given.mean(0, keepdim=True).expand(channels, -1)
    return given.numpy()


def faded(
    made: NDArray[np.float32], given: NDArray[np.float32], heard: tuple[float, float], rate: int
) -> NDArray[np.float32]:
    """`given` within the heard seconds, `made` elsewhere; a seam fades inside of the given."""
    at = np.arange(made.shape[1]) / rate
    length = made.shape[1] / rate
    weight = ((at >= heard[0]) & (at < heard[1])).astype(np.float32)
    if heard[0] > 0:
        weight = np.minimum(weight, np.clip((at - heard[0]) / FADE_S, 0, 1))
    if heard[1] < length - 0.5 / rate:
        weight = np.minimum(weight, np.clip((heard[1] - at) / FADE_S, 0, 1))
    return (weight * given + (1 - weight) * made).astype(np.float32)
