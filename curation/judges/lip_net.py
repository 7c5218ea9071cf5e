"""A SyncNet-type network as an adapter: two embeddings of the same moment, compared at all offsets.

Signature of the file (ONNX, or TorchScript): (mouths float32 [B,T,H,W,3] RGB in 0…1,
mel float32 [B,F,M]) -> (embedding [B,D], embedding [B,D]). The mel is log(max(power, 1e-5)) of M
HTK bands from 55 to 7600 Hz at 16 kHz with Hann windows of 50 ms, F steps over the T frames' time.
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
BATCH = 32


class LipNet:
    """The recipe's network with what it was trained on."""

    def __init__(self, config: LipsModel, run: Any) -> None:  # noqa: ANN401 - ONNX or TorchScript
        self.config, self._run = config, run

    def embed(self, mouths: Floats, sound: Floats) -> tuple[Floats, Floats]:
        """Unit embeddings [N,D] of pictures and of sound, one a frame at which a window begins.

        `mouths` [N,H,W,3] at the network's frame rate, `sound` [S] from the first frame on. Raises
        ValueError when the file's answer is no pair of embeddings.
        """
        config = self.config
        count = len(mouths) - config.frames + 1
        if count < 1:
            return np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32)
        step = config.frames / config.fps / config.mel_frames
        mel = log_mel(sound, step, config.mels)
        first = np.round(np.arange(count) / config.fps / step).astype(int)
        last = int(first[-1]) + config.mel_frames
        mel = np.pad(mel, ((0, max(0, last - len(mel))), (0, 0)), mode="edge")
        pictures, sounds = [], []
        for start in range(0, count, BATCH):
            places = range(start, min(start + BATCH, count))
            one = np.stack([mouths[i : i + config.frames] for i in places])
            two = np.stack([mel[first[i] : first[i] + config.mel_frames] for i in places])
            found = self._run(one.astype(np.float32), two.astype(np.float32))
            if len(found) != 2 or any(np.ndim(x) != 2 or len(x) != len(one) for x in found):
                shapes = [np.shape(x) for x in found]
                raise ValueError(f"judge.lips.path: two embeddings [B,D] are wanted, not {shapes}")
            pictures.append(found[0])
            sounds.append(found[1])
        return normal(np.concatenate(pictures)), normal(np.concatenate(sounds))


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
    """(lags in seconds, mean cosine at each): sound behind the picture is positive."""
    reach = min(round(REACH_S * fps), len(pictures) - 2)
    lags = np.arange(-reach, reach + 1)
    table = pictures @ sounds.T
    found = [float(np.diagonal(table, lag).mean()) for lag in lags]
    return lags / fps, np.array(found, np.float32)
