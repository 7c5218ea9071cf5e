"""Clips at a glance: frames side by side, a waveform. Apart from the report, which loads slowly.

Letters: N frames, H W pixels, S samples.
"""

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

STRIP_FRAMES = 4
STRIP_HEIGHT = 100
WAVE, ACROSS = 44, 360  # pixels of the waveform
NIGHT, TONE = (30, 22, 20), (214, 178, 120)  # BGR: behind the waveform, and its own


def strip(pixels: NDArray[np.uint8]) -> bytes:
    """STRIP_FRAMES of [N,H,W,3] at equal distances side by side, as JPEG."""
    chosen = np.linspace(0, len(pixels) - 1, min(STRIP_FRAMES, len(pixels))).round()
    row = np.concatenate(list(pixels[chosen.astype(int)]), axis=1)
    width = max(1, round(row.shape[1] * STRIP_HEIGHT / row.shape[0]))
    how = cv2.INTER_AREA if row.shape[0] > STRIP_HEIGHT else cv2.INTER_CUBIC
    return jpeg(cv2.resize(row, (width, STRIP_HEIGHT), interpolation=how))


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """RGB [H,W,3] as JPEG."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return data.tobytes()


def webp(pixels: NDArray[np.uint8]) -> bytes:
    """BGR [H,W,3] as WebP: a third of the PNG."""
    _, data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 72])
    return data.tobytes()


def waveform(samples: NDArray[np.float32], seconds: float, rate: int) -> NDArray[np.uint8]:
    """Envelope of mono samples [S] as BGR [WAVE,ACROSS,3], its largest sample at full height."""
    canvas = np.empty((WAVE, ACROSS, 3), np.uint8)
    canvas[:] = NIGHT
    edges = np.linspace(0, round(seconds * rate), ACROSS + 1).astype(int)
    scale = max(1e-4, float(np.abs(samples).max(initial=0)))
    middle = (WAVE - 1) / 2
    for x, (first, last) in enumerate(pairwise(edges)):
        part = samples[first : max(last, first + 1)] / scale
        if part.size:
            top, bottom = middle * (1 - part.max()), middle * (1 - part.min())
            canvas[int(top) : int(np.ceil(bottom)) + 1, x] = TONE
    return canvas
