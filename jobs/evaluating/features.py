"""What the sets of clips are compared by: features of frames in time, and of sound.

Letters: K frames, W windows, P patches, D features, C classes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.assets import fetch
from curation.judges import models
from curation.judges.onnx_net import OnnxNet, with_output
from curation.judges.sound_nets import OUT_SCALE, OUT_ZERO, coded, patches

Floats = NDArray[np.floating[Any]]

WINDOW = 8  # frames at 8 a second
EMBEDDING = "/model/Reshape_output_0_qdq"  # the 1024 pooled features before YAMNet's classes


@dataclass
class Features:
    """Of one clip: rows [n,D] by what they are of, logits [C] of its sound, onsets in seconds."""

    rows: dict[str, Floats] = field(default_factory=dict)
    logits: dict[str, Floats] = field(default_factory=dict)
    onsets: NDArray[np.float64] | None = None


def windows(frames: Floats) -> Floats:
    """Frames' features [K,D] as windows of a second: their mean, and their mean step, [W,2D].

    A distance over frames alone is blind to their order and speed; the step, the mean size of each
    feature's change from a frame to the next, is what a frozen or shuffled clip changes. A clip of
    less than a window is one window.
    """
    if len(frames) < 2:
        return np.zeros((0, 2 * frames.shape[-1]), np.float32)
    starts = range(0, max(1, len(frames) - WINDOW + 1), WINDOW)
    found = []
    for start in starts:
        part = frames[start : start + WINDOW]
        step = np.abs(np.diff(part, axis=0)).mean(axis=0)
        found.append(np.concatenate([part.mean(axis=0), step]))
    return np.stack(found)


class Tagger:
    """YAMNet with its pooled features as a second output, a patch of 0.96 s every 0.48 s."""

    def __init__(self) -> None:
        fetch(models.YAMNET_DATA)
        self._net = OnnxNet(with_output(fetch(models.YAMNET), EMBEDDING))

    def __call__(self, sound: Floats) -> tuple[Floats, Floats]:
        """(features [P,1024], logits [521] as means over patches)."""
        outputs = [self._net(coded(patch)) for patch in patches(sound)]
        logits = [OUT_SCALE * (out[0][0].astype(np.float64) - OUT_ZERO) for out in outputs]
        return np.stack([out[1].reshape(-1) for out in outputs]), np.mean(logits, axis=0)
