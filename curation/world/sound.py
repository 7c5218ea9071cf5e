"""What a world sounds like: each impact a decaying tone that starts on its exact sample."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
ATTACK = 0.0005  # seconds; sharp enough to place an impact, soft enough not to alias
FULL = 3.0  # heights a second: an impact this hard is as loud as they get
LOUD = 0.5  # amplitude of the loudest impact
GUST = 0.01  # root mean square of a gust at its height: 40 dB under full scale
GUST_HZ = 500.0  # from here on noise falls by 3 dB an octave
BED = 0.03  # amplitude of a voice of the music bed: about 20 dB below a middling impact
CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))  # I vi IV V in semitones


class Timbre(NamedTuple):
    """Partials as (multiple of the pitch, amplitude, decay as a share of the tone's), and decay."""

    partials: tuple[tuple[float, float, float], ...]
    decay: float  # seconds to 1/e


TIMBRES = {
    "wood": Timbre(((1, 1.0, 1.0), (2.76, 0.35, 0.4), (5.4, 0.12, 0.2)), 0.09),
    "metal": Timbre(((1, 0.7, 1.0), (2.32, 0.5, 0.8), (4.25, 0.35, 0.6), (6.63, 0.2, 0.4)), 0.35),
    "glass": Timbre(((1, 0.7, 1.0), (2.8, 0.5, 0.8), (5.1, 0.3, 0.6)), 0.22),
    "string": Timbre(((1, 0.8, 1.0), (2, 0.5, 0.8), (3, 0.35, 0.6), (4, 0.25, 0.5)), 0.25),
    "chime": Timbre(((1, 0.6, 1.0), (3, 0.3, 0.7), (4.2, 0.1, 0.5)), 0.3),
}


@lru_cache(maxsize=256)
def tone(timbre: str, pitch: float, rate: int) -> Float:
    """One impact at full level, float32 [S]; its first sample is not zero."""
    voice = TIMBRES[timbre]
    t = np.arange(round(7 * voice.decay * rate)) / rate
    wave = np.zeros(len(t))
    for multiple, amplitude, share in voice.partials:
        if multiple * pitch < 0.45 * rate:
            ring = np.exp(-t / (voice.decay * share))
            wave += amplitude * ring * np.cos(2 * np.pi * multiple * pitch * t)
    wave *= np.minimum((t + 1 / rate) / ATTACK, 1.0)
    fade = round(0.005 * rate)
    wave[-fade:] *= np.linspace(1, 0, fade)
    sound = (wave / np.abs(wave).max()).astype(np.float32)
    sound.setflags(write=False)
    return sound


def loudness(speed: float) -> float:
    """Amplitude of an impact by its speed; the softest stays 18 dB below the loudest."""
    return LOUD * min(1.0, 0.12 + 0.88 * speed / FULL)


def place(track: Float, sound: Float, start: int, gain: float, side: float, end: int) -> None:
    """Add `sound` to track [channels,S] from `start` to at most `end`; side 0 left, 1 right."""
    length = min(len(sound), end - start)
    if length <= 0:
        return
    part = sound[:length] * np.float32(gain)
    if length < len(sound):  # a cut ends the sound of a shot, without a click
        fade = min(length, 64)
        part[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    for channel, share in zip(track, sides(len(track), side), strict=True):
        channel[start : start + length] += part * np.float32(share)


def sides(channels: int, side: float) -> tuple[float, ...]:
    """Equal-power gain of each channel; the far channel keeps a fifth, as in a room."""
    if channels == 1:
        return (1.0,)
    angle = np.pi / 2 * (0.1 + 0.8 * min(max(side, 0.0), 1.0))
    return float(np.cos(angle)), float(np.sin(angle))


def music_bed(seed: int, samples: int, rate: int) -> tuple[Float, dict[str, float | int]]:
    """Quiet slow chords, float32 [S], and what they are (root in Hz, beats a minute)."""
    rng = np.random.default_rng(seed)
    root = 110.0 * 2 ** (int(rng.integers(0, 12)) / 12)
    tempo = int(rng.integers(60, 100))
    length = round(4 * 60 / tempo * rate / 2)  # two beats a chord
    bed = np.zeros(samples, np.float32)
    shape = np.sin(np.pi * np.arange(length) / length) ** 0.5
    t = np.arange(length) / rate
    for number, start in enumerate(range(0, samples, length)):
        chord = CHORDS[number % len(CHORDS)]
        wave = sum(
            (np.sin(2 * np.pi * root * 2 ** (note / 12) * t) for note in chord), np.zeros(length)
        )
        bed[start : start + length] += (BED * shape * wave)[: samples - start].astype(np.float32)
    return bed, {"seed": seed, "root_hz": round(root, 2), "bpm": tempo}


def wind(seed: int, samples: int, rate: int) -> Float:
    """Soft gusts with pauses, float32 [S]: noise of all frequencies, weaker as they rise."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / rate)
    noise = np.fft.irfft(spectrum / np.sqrt(1 + frequency / GUST_HZ), samples)
    t = np.arange(samples) / rate
    swell = np.maximum(0, np.sin(2 * np.pi * t / rng.uniform(1.2, 1.8) + rng.uniform(0, 6.28)))
    return (GUST * swell**2 * noise / noise.std()).astype(np.float32)
