"""What is measured on the sound of one clip: level, loudness, bandwidth, onsets.

Onset strength and mel bands follow librosa's definitions, written on scipy here: importing
librosa's feature code compiles numba kernels for 7 s of CPU in every worker process.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from curation.sound_faults import fault_scores

Samples = NDArray[np.float32]  # [channels, N]
Floats = NDArray[np.float64]

FLOOR_DB = -120.0  # what digital silence is reported as
SILENCE_DB = -60.0
ONSET_STEP_S = 0.005
ONSET_DB = 6.0  # mean rise over the bands that counts as a sudden sound
BANDS = 40


def sound_scores(samples: Samples, rate: int) -> dict[str, float | None]:
    """Scores of a clip's sound [channels, N]; without a track (no channels) most are null."""
    if not samples.size:
        return {"has_sound": 0.0, "channels": float(len(samples))}
    mono = samples.mean(axis=0, dtype=np.float64)
    peak = float(np.abs(samples).max())
    power = float(np.square(samples, dtype=np.float64).mean())
    scores: dict[str, float | None] = {
        "has_sound": float(decibels(power) > -90),  # 16-bit dither alone is -96 dBFS
        "channels": float(len(samples)),
        "rms_dbfs": decibels(power),
        "peak_dbfs": decibels(peak**2),
        "clipped_share": clipped_share(samples),
        "silence_share": silence_share(mono, rate),
        "loudness_lufs": loudness(samples, rate),
        "onset_rate": len(onsets(mono, rate)) / (mono.size / rate),
    }
    if scores["has_sound"]:
        scores |= spectrum_scores(mono, rate) | fault_scores(samples, rate)
    return scores


def decibels(power: float) -> float:
    """10 log10, with a floor."""
    return max(FLOOR_DB, 10 * float(np.log10(max(power, 1e-30))))


def clipped_share(samples: Samples) -> float:
    """Share of samples in runs of three or more at full scale: one alone is a true peak."""
    full = np.abs(samples) >= 0.999
    runs = full[:, :-2] & full[:, 1:-1] & full[:, 2:]
    marked = np.zeros_like(full)
    for shift in range(3):
        marked[:, shift : shift + runs.shape[1]] |= runs
    return float(marked.mean())


def silence_share(mono: Floats, rate: int) -> float:
    """Share of 20 ms frames below SILENCE_DB."""
    step = max(1, rate // 50)
    frames = mono[: mono.size // step * step].reshape(-1, step)
    if not len(frames):
        return 0.0
    return float((np.square(frames).mean(axis=1) < 10 ** (SILENCE_DB / 10)).mean())


def spectrum_scores(mono: Floats, rate: int) -> dict[str, float | None]:
    """Bandwidth and spectral centroid."""
    size = min(2048, mono.size)
    frequency, power = signal.welch(mono, rate, nperseg=size)
    total = power.sum()
    if not total > 0:
        return {}
    heard = np.flatnonzero(power > power.max() * 1e-6)  # -60 dB
    return {
        "bandwidth_hz": float(frequency[heard[-1]]),
        "centroid_hz": float((frequency * power).sum() / total),
    }


def loudness(samples: Samples, rate: int) -> float | None:
    """Integrated loudness in LUFS (ITU-R BS.1770-4): K-weighting, 400 ms blocks, two gates.

    None for less than one block, or when every block lies below the absolute gate of -70 LUFS.
    Channels weigh 1: mono and stereo are right, surround lacks the 1.41 of its rear channels.
    """
    block, hop = round(0.4 * rate), round(0.1 * rate)
    if samples.shape[1] < block:
        return None
    weighted = signal.sosfilt(k_weighting(rate), samples.astype(np.float64), axis=1)
    sums = np.concatenate([np.zeros((len(samples), 1)), np.square(weighted).cumsum(axis=1)], axis=1)
    starts = np.arange(0, samples.shape[1] - block + 1, hop)
    power = ((sums[:, starts + block] - sums[:, starts]) / block).sum(axis=0)
    level = -0.691 + 10 * np.log10(np.maximum(power, 1e-30))
    loud = level > -70
    if not loud.any():
        return None
    relative = -0.691 + 10 * np.log10(power[loud].mean()) - 10
    return float(-0.691 + 10 * np.log10(power[loud & (level > relative)].mean()))


@lru_cache(maxsize=8)
def k_weighting(rate: int) -> Floats:
    """The two biquads of BS.1770 as second-order sections, for any sample rate.

    The standard tabulates 48 kHz; these are its analogue prototypes (shelf: 1681.97 Hz, Q 0.7072,
    +4 dB; high pass: 38.1355 Hz, Q 0.5003) under the bilinear transform.
    """
    sections = []
    k = np.tan(np.pi * 1681.974450955533 / rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    sections.append(
        [
            (high + band * k / q + k * k) / a0,
            2 * (k * k - high) / a0,
            (high - band * k / q + k * k) / a0,
            1,
            2 * (k * k - 1) / a0,
            (1 - k / q + k * k) / a0,
        ]
    )
    k, q = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    sections.append([1, -2, 1, 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0])
    return np.array(sections)


def onset_strength(mono: Floats, rate: int) -> tuple[Floats, Floats]:
    """Times [M] and strength [M]: mean rise in dB over mel bands within one step of 5 ms.

    As librosa.onset.onset_strength: log mel spectrogram, half-wave rectified difference, mean.
    Frames are centred, so a click at t peaks within one step of t.
    """
    hop = max(1, round(ONSET_STEP_S * rate))
    size = max(64, 4 * hop)
    padded = np.pad(mono, (size // 2, size // 2))
    count = 1 + (padded.size - size) // hop
    frames = np.lib.stride_tricks.as_strided(
        padded, (count, size), (padded.strides[0] * hop, padded.strides[0]), writeable=False
    )
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)))
    bands = power @ mel_bands(rate, size).T / (size * size / 16)
    level = 10 * np.log10(np.maximum(bands, 1e-7))  # -70 dB floor: silence does not rise
    rise = np.maximum(np.diff(level, axis=0, prepend=level[:1]), 0).mean(axis=1)
    # A frame first sees a click when it enters its window: the rise is centred half a window early.
    times = (np.arange(count) * hop + size / 4) / rate
    return times, rise


@lru_cache(maxsize=8)
def mel_bands(rate: int, size: int) -> Floats:
    """Triangular mel filters [BANDS, size//2 + 1] from 60 Hz to 8 kHz or half the rate."""
    top = min(8000.0, rate / 2)
    mel = np.linspace(hertz_to_mel(60.0), hertz_to_mel(top), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.fft.rfftfreq(size, 1 / rate)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequency - low) / (centre - low), (high - frequency) / (high - centre)
    filters = np.maximum(0, np.minimum(rising, falling))
    return filters[filters.sum(axis=1) > 0]


def hertz_to_mel(frequency: float) -> float:
    """The HTK mel scale."""
    return float(2595 * np.log10(1 + frequency / 700))


def onsets(mono: Floats, rate: int, least: float = ONSET_DB) -> Floats:
    """Times of sudden sounds: peaks of onset strength above `least` dB, 50 ms apart at least."""
    return sudden(*onset_strength(mono, rate), least)


def sudden(times: Floats, strength: Floats, least: float = ONSET_DB) -> Floats:
    """The times of `onsets` from what onset_strength gave."""
    peaks, _ = signal.find_peaks(strength, height=least, distance=round(0.05 / ONSET_STEP_S))
    return times[peaks]
