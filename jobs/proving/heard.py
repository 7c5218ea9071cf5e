"""Read a clip of the generated world from its samples: when sounds set in, how high, what of.

The timbres are known and the pitches lie between the lowest and the highest object's; neither
picture nor prompt is looked at. A pitch is one of a grid with four STEPS to a semitone.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from curation.alignment import onsets
from curation.world.scene import PITCH
from curation.world.sound import TIMBRES, tone

STEPS = 4  # of the grid of pitches, to a semitone
MARGIN = 2.5  # semitones that an object's size moves its pitch, and a little more
LENGTH_S = 0.16  # of a sound that decides its pitch: it parts tones that are 6 Hz apart
MERGED_S = 0.12  # of sounds nearer than this one is heard: the second hides in the first's ring
ENDING_S = 0.12  # a sound that sets in later than this before the end is cut off
FINE_S = 0.002
NEAR_S = 0.03  # around a coarse onset in which the steepest rise is looked for
ROOT = 0.5  # power of magnitudes: weak partials tell timbres apart
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """One event: when it sets in (seconds), its pitch (Hz), timbre and how sure that is (0…1)."""

    time: float
    pitch: float
    timbre: str
    fit: float


def listen(samples: Samples, rate: int) -> list[Sound]:
    """The events in sound [channels,S] in −1…1, in order."""
    mono = samples.mean(axis=0)
    length = len(mono) / rate
    times: list[float] = []
    for time in sorted(sharpened(mono, rate, time) for time in onsets(samples, rate)):
        if time <= length - ENDING_S and (not times or time - times[-1] >= MERGED_S):
            times.append(time)
    found = []
    for number, time in enumerate(times):
        end = [*times, length][number + 1]
        part = mono[round(time * rate) : round((time + min(end - time, LENGTH_S)) * rate)]
        if np.abs(part).max() > 0:
            timbre, pitch, fit = name(part, rate)
            found.append(Sound(time, pitch, timbre, fit))
    return found


def sharpened(mono: NDArray[np.float32], rate: int, time: float) -> float:
    """The steepest rise of loudness near an onset, to FINE_S."""
    step = max(1, round(FINE_S * rate))
    first = max(0, round((time - NEAR_S) * rate))
    part = mono[first : round((time + NEAR_S) * rate)]
    power = np.square(part[: len(part) // step * step], dtype=np.float64).reshape(-1, step).mean(1)
    if len(power) < 6:
        return time
    rise = power[1:] - power[:-1]
    return (first + (int(rise.argmax()) + 1) * step) / rate


def name(part: NDArray[np.float32], rate: int) -> tuple[str, float, float]:
    """Timbre, pitch and likeness (cosine) of the tone that a sound is most like."""
    size, step = round(LENGTH_S * rate), round((LENGTH_S - MERGED_S) * rate)
    length = len(part) // step * step  # of two lengths, so that two grids are enough
    kinds, pitches, spectra = grid(rate, length, size)
    part = part[:length]
    own = spectrum(part, size)
    likeness = spectra @ own
    best = int(likeness.argmax())
    return kinds[best], float(pitches[best]), float(likeness[best])


Grid = tuple[tuple[str, ...], NDArray[np.float64], Samples]


@lru_cache(maxsize=8)
def grid(rate: int, length: int, size: int) -> Grid:
    """Every tone that the world may make, cut to `length` samples.

    Timbres, pitches [K] in Hz and spectra [K,bins].
    """
    low, high = min(PITCH.values()), max(PITCH.values())
    span = 12 * np.log2(high / low) + 2 * MARGIN
    steps = np.arange(round(span * STEPS) + 1) / STEPS - MARGIN
    kinds = [(timbre, low * 2 ** (n / 12)) for timbre in sorted(TIMBRES) for n in steps]
    rows = [spectrum(tone(timbre, float(pitch), rate)[:length], size) for timbre, pitch in kinds]
    return tuple(timbre for timbre, _ in kinds), np.array([p for _, p in kinds]), np.stack(rows)


def spectrum(part: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Magnitudes to the power ROOT of a windowed sound, padded to `size`, of norm 1."""
    window = np.hanning(2 * len(part))[len(part) :]
    found = np.abs(np.fft.rfft(part * window, size)) ** ROOT
    return (found / max(float(np.linalg.norm(found)), 1e-12)).astype(np.float32)
