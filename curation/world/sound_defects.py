"""Defects of the sound. Each takes its numbers, samples [channels,S] and the rate.

What was decided inside (a level, a place) is added to the numbers, which become the truth.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

HARMONICS = (1.0, 0.5, 0.35, 0.2)  # of the mains' frequency
PEAK = 0.95
Samples = NDArray[np.float32]


def clipping(defect: dict[str, Any], samples: Samples, rate: int) -> Samples:
    """So much gain that a few percent of all samples are cut at full scale."""
    rng = np.random.default_rng([defect["seed"], rate])
    defect["share"] = share = round(float(rng.uniform(0.03, 0.1)), 4)
    level = float(np.quantile(np.abs(samples), 1 - share))
    defect["gain"] = gain = round(1 / max(level, 1e-3), 3)
    return np.clip(samples * np.float32(gain), -1, 1)


def hiss(defect: dict[str, Any], samples: Samples, rate: int) -> Samples:
    """White noise 3 to 12 dB below the sound."""
    rng = np.random.default_rng([defect["seed"], rate])
    defect["snr_db"] = snr = round(float(rng.uniform(3, 12)), 2)
    noise = rng.standard_normal(samples.shape).astype(np.float32)
    return mixed(samples, noise, snr)


def hum(defect: dict[str, Any], samples: Samples, rate: int) -> Samples:
    """Mains hum with three harmonics, 3 to 12 dB below the sound, the same in all channels."""
    rng = np.random.default_rng(defect["seed"])
    mains, snr = float(rng.choice([50.0, 60.0])), round(float(rng.uniform(3, 12)), 2)
    defect |= {"hz": mains, "snr_db": snr}
    t = np.arange(samples.shape[1]) / rate
    parts = [a * np.sin(2 * np.pi * n * mains * t + n) for n, a in enumerate(HARMONICS, 1)]
    wave = np.sum(parts, axis=0).astype(np.float32)
    return mixed(samples, np.broadcast_to(wave, samples.shape), snr)


def mixed(samples: Samples, noise: Samples, snr: float) -> Samples:
    """Sound and noise at a signal-to-noise ratio in dB, quieter where the sum exceeds PEAK."""
    power = float(np.square(samples, dtype=np.float64).mean())
    scale = np.sqrt(power / float(np.square(noise, dtype=np.float64).mean()) / 10 ** (snr / 10))
    out = samples + np.float32(scale) * noise
    peak = float(np.abs(out).max(initial=0.0))
    return (out * np.float32(min(1.0, PEAK / max(peak, 1e-9)))).astype(np.float32)


def dead_channel(defect: dict[str, Any], samples: Samples, rate: int) -> Samples:
    """One of two channels carries nothing."""
    defect["channel"] = channel = int(np.random.default_rng([defect["seed"], rate]).integers(2))
    out = samples.copy()
    out[channel] = 0
    return out


def fake_stereo(defect: dict[str, Any], samples: Samples, rate: int) -> Samples:  # noqa: ARG001
    """Both channels carry their mean."""
    return np.broadcast_to(samples.mean(axis=0), samples.shape).astype(np.float32)


def inverted(defect: dict[str, Any], samples: Samples, rate: int) -> Samples:  # noqa: ARG001
    """The second channel's sign turned, as by a wrongly wired plug."""
    out = samples.copy()
    out[1] *= -1
    return out


def narrowband(defect: dict[str, Any], samples: Samples, rate: int) -> Samples:
    """Nothing above a sixth to a quarter of the rate's half: what resampling up leaves."""
    rng = np.random.default_rng(defect["seed"])
    defect["cut_hz"] = cut = round(float(rng.uniform(1 / 6, 1 / 4)) * rate / 2)
    spectrum = np.fft.rfft(samples, axis=1)
    frequency = np.fft.rfftfreq(samples.shape[1], 1 / rate)
    spectrum *= np.clip((cut - frequency) / (0.02 * cut) + 1, 0, 1)
    return np.fft.irfft(spectrum, samples.shape[1], axis=1).astype(np.float32)


def dropouts(defect: dict[str, Any], samples: Samples, rate: int) -> Samples:
    """Three to five holes of 30 to 90 ms where the sound is loudest at both edges."""
    rng = np.random.default_rng(defect["seed"])
    out = samples.copy()
    step = round(0.005 * rate)
    usable = samples.shape[1] // step * step
    level = np.square(samples[:, :usable]).sum(axis=0).reshape(-1, step).mean(axis=1)
    holes: list[list[float]] = []
    for _ in range(int(rng.integers(3, 6))):
        size = int(rng.integers(6, 19))
        edges = np.minimum(level[: -size - 1], level[size + 1 :])
        start = int(edges.argmax())
        if edges[start] <= 0:
            break
        first, last = start + 1, start + 1 + size
        out[:, first * step : last * step] = 0
        level[max(0, first - 40) : last + 40] = 0  # holes stand 0.2 s apart
        holes.append([round(first * step / rate, 4), round(last * step / rate, 4)])
    defect["holes"] = sorted(holes)
    return out


def fitted(samples: Samples, length: int) -> Samples:
    """The first `length` samples, silence where there are fewer."""
    out = np.zeros((len(samples), length), np.float32)
    part = samples[:, :length]
    out[:, : part.shape[1]] = part
    return out


SOUND: dict[str, Callable[[dict[str, Any], Samples, int], Samples]] = {
    "clipping": clipping,
    "hiss": hiss,
    "hum": hum,
    "dead_channel": dead_channel,
    "fake_stereo": fake_stereo,
    "inverted": inverted,
    "narrowband": narrowband,
    "dropouts": dropouts,
}
