"""Spectra and back: short-time magnitudes, mel bands, and Griffin-Lim without any learned weight.

Frame n is centred on sample (n + 1/2)·HOP, so S samples make exactly S/HOP frames and a latent's
frames lie inside the latent's own time. The window of 25 ms keeps an impact's energy within 12 ms
of it.

Letters: B sounds, S samples, N frames, K frequency bins, M mel bands.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as fn

RATE = 16_000
HOP = 160
WINDOW = 400
SIZE = 512
BINS = SIZE // 2 + 1
EDGE = (SIZE - HOP) // 2  # padding that centres frame 0 on HOP/2
FLOOR = 3e-4  # amplitude at which loudness turns from linear to logarithmic: −70 dB
MOMENTUM = 0.99  # Perraudin et al. 2013, "A fast Griffin-Lim algorithm"


def window(device: torch.device | None = None) -> Tensor:
    """The Hann window of 25 ms, centred in a frame of SIZE samples."""
    pad = (SIZE - WINDOW) // 2
    return fn.pad(torch.hann_window(WINDOW, device=device), (pad, pad))


def spectrum(sound: Tensor) -> Tensor:
    """Complex spectrum [B,K,S/HOP] of sound [B,S], S a multiple of HOP."""
    padded = fn.pad(sound, (EDGE, EDGE))
    return torch.stft(
        padded, SIZE, HOP, window=window(sound.device), center=False, return_complex=True
    )


def inverse(spectra: Tensor) -> Tensor:
    """Sound [B,N·HOP] of complex spectra [B,K,N] by least squares; the inverse of `spectrum`."""
    count = spectra.shape[-1]
    shape = window(spectra.device)
    pieces = torch.fft.irfft(spectra, SIZE, dim=1) * shape[None, :, None]
    length = (count - 1) * HOP + SIZE
    fold = {"output_size": (1, length), "kernel_size": (1, SIZE), "stride": (1, HOP)}
    total = fn.fold(pieces, **fold)[:, 0, 0]
    weight = fn.fold(shape.square()[None, :, None].expand(1, -1, count), **fold)[:, 0, 0]
    return (total / weight.clamp(min=1e-3))[:, EDGE : EDGE + count * HOP]


def loudness(magnitude: Tensor) -> Tensor:
    """log(1 + amplitude/FLOOR): zero at silence, logarithmic above −70 dB."""
    return torch.log1p(magnitude / FLOOR)


def amplitude(loud: Tensor) -> Tensor:
    """The inverse of `loudness`; what is below zero is silent."""
    return torch.expm1(loud.clamp(0, 12)) * FLOOR


def magnitudes(sound: Tensor) -> Tensor:
    """Amplitudes [B,K,N]; a sine of amplitude 1 gives about 1."""
    return spectrum(sound).abs() * (2 / WINDOW * 2)


def mel_bands(count: int, rate: int = RATE, size: int = SIZE, equal_area: bool = False) -> Tensor:
    """Triangles [M,K] of Slaney's scale for a transform of `size` samples.

    Of height 1, as librosa.filters.mel(norm=None) gives them, or with `equal_area` as
    norm="slaney".
    """
    top = _mel(torch.tensor(rate / 2, dtype=torch.float64))
    edges = _hertz(torch.linspace(0, float(top), count + 2, dtype=torch.float64))
    bins = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    bands = torch.minimum(rise, fall).clamp(min=0)
    height = 2 / (edges[2:] - edges[:-2])[:, None] if equal_area else 1.0
    return (bands * height).float()


def _mel(hertz: Tensor) -> Tensor:
    return torch.where(
        hertz < 1000,
        hertz * 3 / 200,
        15 + torch.log(hertz.clamp(min=1) / 1000) * 27 / math.log(6.4),
    )


def _hertz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def griffin_lim(magnitude: Tensor, rounds: int = 32) -> Tensor:
    """Sound [B,N·HOP] whose spectrum has about these amplitudes [B,K,N]. Deterministic."""
    target = magnitude / (4 / WINDOW)
    unit = torch.polar(torch.ones_like(target), first_phase(target))
    before = torch.zeros_like(unit)
    for _ in range(rounds):
        now = spectrum(inverse(target * unit))
        ahead = now + MOMENTUM * (now - before)
        unit = ahead / ahead.abs().clamp(min=1e-9)
        before = now
    return inverse(target * unit)


def first_phase(magnitude: Tensor) -> Tensor:
    """Phases [B,K,N] that advance with the frequency of the nearest spectral peak.

    Beauregard et al. 2015 (single pass spectrogram inversion) in simple form: each bin follows its
    strongest neighbour, whose frequency comes from a parabola through three bins.
    """
    loud = magnitude.clamp(min=1e-9).log()
    padded = fn.pad(loud, (0, 0, 1, 1), mode="replicate")
    low, high = padded[:, :-2], padded[:, 2:]
    bend = low - 2 * loud + high
    offset = torch.where(bend < -1e-6, (low - high) / (2 * bend).clamp(max=-1e-6), 0.0)
    bins = torch.arange(loud.shape[1], device=loud.device, dtype=loud.dtype)[:, None]
    frequency = (bins + offset.clamp(-0.5, 0.5)).expand_as(loud)
    _, peak = fn.max_pool2d(loud, (5, 1), stride=1, padding=(2, 0), return_indices=True)
    rows = torch.div(peak, loud.shape[2], rounding_mode="floor")
    followed = frequency.gather(1, rows)
    advance = followed * (2 * math.pi * HOP / SIZE)
    return advance.cumsum(dim=2) + math.pi * bins
