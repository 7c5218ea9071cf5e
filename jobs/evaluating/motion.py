"""How a clip's frames follow each other: VBench's dimensions that need no network, or a small one.

Definitions of VBench (Huang et al. 2024, arXiv 2311.17982) and of its published code. Where it has
a network, flow here is OpenCV's DIS (Kroeger et al. 2016), so numbers are not to be set beside
VBench's own tables.

Letters: N frames, H W pixels, D features.
"""

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from jobs.evaluating.clips import FEATURE_FPS, Floats, Pixels

FEWEST = 3  # frames that a motion can be told from
STRONGEST = 0.05  # share of pixels whose flow says how much moves
THRESHOLD = 6.0  # pixels at a short side of 256 and 8 frames a second


def flickering(pixels: Pixels) -> float | None:
    """(255 − mean absolute difference of neighbouring frames) / 255. None below two frames.

    1 is a frozen clip: VBench asks it of scenes that stand still.
    """
    if len(pixels) < 2:
        return None
    steps = [cv2.absdiff(a, b).mean() for a, b in pairwise(pixels)]
    return float(1 - np.mean(steps) / 255)


def smoothness(pixels: Pixels) -> float | None:
    """(255 − error of every second frame, interpolated from its neighbours) / 255.

    VBench's motion smoothness with flow and warping in place of AMT. None below three frames.
    """
    if len(pixels) < FEWEST:
        return None
    errors = [
        cv2.absdiff(pixels[k], between(pixels[k - 1], pixels[k + 1])).mean()
        for k in range(1, len(pixels) - 1, 2)
    ]
    return float(1 - np.mean(errors) / 255)


def between(a: Pixels, b: Pixels) -> Pixels:
    """The picture half way from one [H,W,3] to another: both warped to there, and their mean."""
    there, back = flow(grey(a), grey(b)), flow(grey(b), grey(a))
    y, x = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)
    halves = [
        cv2.remap(
            picture,
            x - move[..., 0] / 2,
            y - move[..., 1] / 2,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for picture, move in ((a, there), (b, back))
    ]
    return np.asarray(cv2.addWeighted(halves[0], 0.5, halves[1], 0.5, 0), np.uint8)


def dynamic(pixels: Pixels, fps: float) -> float | None:
    """1 where a clip moves, else 0: VBench's dynamic degree, with DIS flow in place of RAFT.

    Of frames at 8 a second, the mean of the strongest 5 % of flow must be above 6 pixels (at a
    short side of 256) in 4 of 16 pairs. None below three such frames.
    """
    there = pixels[:: max(1, round(fps / FEATURE_FPS))]
    if len(there) < FEWEST:
        return None
    least = max(1.0, FEATURE_FPS / fps) * THRESHOLD * min(there.shape[1:3]) / 256
    moved = sum(strength > least for strength in strengths(there))
    return float(moved >= round(4 * len(there) / 16))


def strengths(pixels: Pixels) -> Iterator[float]:
    """Mean length of the strongest flow between neighbours, in pixels."""
    for a, b in pairwise(pixels):
        length = np.linalg.norm(flow(grey(a), grey(b)), axis=-1).ravel()
        count = max(1, int(STRONGEST * length.size))
        yield float(np.partition(length, -count)[-count:].mean())


def consistency(features: NDArray[np.floating]) -> float | None:
    """Mean over frames of (cosine with the first + cosine with the one before) / 2, [N,D].

    VBench's subject consistency where the features are DINO's, background consistency where they
    are CLIP's. None below two frames.
    """
    if len(features) < 2:
        return None
    length = np.linalg.norm(features, axis=1, keepdims=True)
    units = features / np.maximum(length, 1e-9)
    before = np.maximum(0, (units[1:] * units[:-1]).sum(axis=1))
    first = np.maximum(0, units[1:] @ units[0])
    return float((before + first).mean() / 2)


def grey(picture: Pixels) -> NDArray[np.uint8]:
    """Luma [H,W]."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def flow(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Dense optical flow [H,W,2] in pixels."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(dis.calc(a, b, None), np.float32)


def average_flow(pixels: Pixels) -> Floats:
    """Mean length of Farnebäck's flow into each of two or more frames [N], as AV-Align sets it."""
    greys = [grey(picture) for picture in pixels]
    found = []
    for a, b in pairwise(greys):
        move = cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        found.append(float(np.linalg.norm(move, axis=-1).mean()))
    return np.array([found[0], *found])
