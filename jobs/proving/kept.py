"""What a clip keeps of what it was given, and how it goes on from there, from pixels alone.

Letters: N frames, H W pixels.
"""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
BEST_DB = 60.0  # of equal pixels, which have no finite ratio


def psnr(made: Pixels, given: Pixels, where: Mask) -> float | None:
    """Peak signal-to-noise ratio in dB where a mask [N,H,W] is set; None where it is nowhere."""
    if not where.any():
        return None
    error = made[where].astype(np.float64) - given[where]
    return min(BEST_DB, float(10 * np.log10(255**2 / max(float(np.square(error).mean()), 1e-9))))


def seam(made: Pixels, keep: Mask) -> float | None:
    """How much more a clip changes across the edge of what it kept than elsewhere, in grey levels.

    Steps from frame to frame and from pixel to pixel are compared with those of the same kind that
    cross no edge: the median is what the clip itself finds usual. 0 is a seam that nobody sees.
    """
    values = made.astype(np.float32)
    found = []
    for axis in (0, 1, 2):
        step = np.abs(np.diff(values, axis=axis)).mean(axis=-1)
        crosses = np.diff(keep, axis=axis)
        if crosses.any():
            rest = [s[~c].mean() for s, c in lines(step, crosses, axis) if not c.all()]
            usual = float(np.median(rest)) if rest else 0.0
            found.append(float(step[crosses].mean()) - usual)
    return max(found, default=None)


def drift(made: Pixels, frames: int) -> float:
    """How far the last `frames` of a film are from its first ones, in grey levels.

    Medians over time are compared: of a world whose camera rests, what is behind the objects.
    """
    begin, end = (np.median(part, axis=0) for part in (made[:frames], made[-frames:]))
    return float(np.abs(begin - end).mean())


def lines(
    step: NDArray[np.float32], crosses: Mask, axis: int
) -> list[tuple[NDArray[np.float32], Mask]]:
    """Steps and whether they cross, one pair a place along the axis."""
    return list(zip(np.moveaxis(step, axis, 0), np.moveaxis(crosses, axis, 0), strict=True))
