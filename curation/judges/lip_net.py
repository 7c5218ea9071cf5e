"""A SyncNet-type network as an adapter: two embeddings of the same moment, compared at all offsets.

Signature of the file (ONNX, or TorchScript): (mouths float32 [B,T,H,W,3] RGB in 0…1,
mel float32 [B,F,M]) -> (embedding [B,D], embedding [B,D]). The mel is log(max(power, 1e-5)) of M
HTK bands from 55 to 7600 Hz at 16 kHz with Hann windows of 50 ms, F steps over the T frames' time.
With `mels: 0` the file gets the sound itself in place of the mel: [B,S] at 16 kHz in −1…1, S
samples of the T frames' time.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.judges.config import LipsModel
from curation.judges.onnx_net import Device, load_net
from curation.judges.sound_nets import RATE, mel_filters

Floats = NDArray[np.floating[Any]]
WINDOW, SIZE = 800, 1024
REACH_S = 0.6
LSE_REACH = 15  # frames, Wav2Lip's evaluation
LSE_EPS = 1e-6  # torch's pairwise_distance adds it to every difference
BATCH = 32


class LipNet:
    """The recipe's network with what it was trained on."""

    def __init__(self, config: LipsModel, run: Any) -> None:  # noqa: ANN401 - ONNX or TorchScript
        self.config, self._run = config, run

    def embed(self, mouths: Floats, sound: Floats) -> tuple[Floats, Floats]:
        """Embeddings [N,D] of pictures and of sound, one a frame at which a window begins.

        As the file gives them: LSE-D is a distance of these. `mouths` [N,H,W,3] at the network's
        frame rate, `sound` [S] from the first frame on. Raises ValueError when the file's answer is
        no pair of embeddings.
        """
        config = self.config
        count = len(mouths) - config.frames + 1
        if count < 1:
            return np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32)
        heard, first, length = self.windows(sound, count)
        pictures, sounds = [], []
        for start in range(0, count, BATCH):
            places = range(start, min(start + BATCH, count))
            one = np.stack([mouths[i : i + config.frames] for i in places])
            two = np.stack([heard[first[i] : first[i] + length] for i in places])
            found = self._run(one.astype(np.float32), two.astype(np.float32))
            if len(found) != 2 or any(np.ndim(x) != 2 or len(x) != len(one) for x in found):
                shapes = [np.shape(x) for x in found]
                raise ValueError(f"judge.lips.path: two embeddings [B,D] are wanted, not {shapes}")
            pictures.append(found[0])
            sounds.append(found[1])
        return np.concatenate(pictures), np.concatenate(sounds)

    def windows(self, sound: Floats, count: int) -> tuple[Floats, NDArray[np.int_], int]:
        """(mel [K,M] or samples [S], where each of `count` windows begins, how long it is)."""
        config = self.config
        if config.mels:
            length, step = config.mel_frames, config.frames / config.fps / config.mel_frames
            heard, edge = log_mel(sound, step, config.mels), "edge"
        else:
            length, step = round(config.frames / config.fps * RATE), 1 / RATE
            heard, edge = sound, "constant"
        first = np.round(np.arange(count) / config.fps / step).astype(int)
        missing = max(0, int(first[-1]) + length - len(heard))
        wide = [(0, missing)] + [(0, 0)] * (heard.ndim - 1)
        padded: Floats = np.pad(heard, wide, mode=edge)  # type: ignore[call-overload]
        return padded, first, length


def normal(rows: Floats) -> Floats:
    """Rows at length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def load_lip_net(config: LipsModel, device: Device = "cpu") -> LipNet:
    """The network from its file. Raises ValueError when there is none."""
    return LipNet(config, load_net(Path(config.path), "judge.lips.path", device))


def log_mel(sound: Floats, step: float, mels: int) -> Floats:
    """Log-mel frames [N,M] every `step` seconds, the first centred on the first sample."""
    padded = np.pad(sound, (WINDOW // 2, WINDOW))
    starts = np.round(np.arange(int(sound.size / RATE / step) + 1) * step * RATE).astype(int)
    frames = np.stack([padded[start : start + WINDOW] for start in starts])
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(WINDOW), SIZE, axis=1)))
    bands = power @ mel_filters(SIZE, mels, 55.0, 7600.0).T
    return np.log(np.maximum(bands, 1e-5)).astype(np.float32)


def likeness_by_lag(pictures: Floats, sounds: Floats, fps: float) -> tuple[Floats, Floats]:
    """(lags [L] in seconds, mean cosine [L]) of embeddings [N,D]: sound behind the picture is
    positive. One lag of likeness 0 where there are fewer than three.
    """
    if len(pictures) < 3:
        return np.zeros(1), np.zeros(1)
    reach = min(round(REACH_S * fps), len(pictures) - 2)
    lags = np.arange(-reach, reach + 1)
    table = normal(pictures) @ normal(sounds).T
    found = [float(np.diagonal(table, lag).mean()) for lag in lags]
    return lags / fps, np.array(found, np.float64)


def lse(pictures: Floats, sounds: Floats) -> tuple[float, float] | None:
    """(LSE-D, LSE-C) of embeddings [N,D] (Prajwal et al. 2020, arXiv 2008.10010).

    As Wav2Lip's evaluation reckons them by SyncNet (Chung & Zisserman 2016): each picture's
    Euclidean distance to the sounds up to 15 frames before and behind it, zeros beyond the ends;
    of the means over pictures the smallest is LSE-D, the median less the smallest LSE-C. None
    without embeddings.
    """
    if not len(pictures):
        return None
    around = np.pad(sounds, ((LSE_REACH, LSE_REACH), (0, 0)))
    means = [
        np.linalg.norm(pictures - around[i : i + len(pictures)] + LSE_EPS, axis=1).mean()
        for i in range(2 * LSE_REACH + 1)
    ]
    return float(min(means)), float(np.median(means) - min(means))
