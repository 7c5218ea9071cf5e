"""What a clip kept of what its request says was given: PSNR and SSIM on the kept regions.

`generate` puts what was given back into a clip before it is coded, so of its own clips this is what
the mp4's coding leaves; a clip of another maker is judged by the network's own work.

Letters: F frames, H W pixels.
"""

import cv2
import numpy as np

from curation.media import MediaReader
from curation.records import RejectedError
from jobs.clip_request import read_request
from jobs.config import RecipeError
from jobs.evaluating.clips import Clip, Floats, Pixels
from jobs.evaluating.motion import grey
from jobs.given import known
from jobs.proving.kept import Mask, psnr
from model.geometry import Geometry, VideoSpec

WINDOW, SIGMA = (11, 11), 1.5  # Wang et al. 2004
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Kept = tuple[Pixels, Pixels, Mask]  # made [F,H,W,3], given [F,H,W,3], where [F,H,W]


def read_kept(reader: MediaReader, clip: Clip) -> Kept | None:
    """A clip's frames, what was given of them, and where; None where nothing was or it is gone."""
    if clip.card is None:
        return None
    try:
        request, _ = read_request(clip.card)
        if not request.given or request.make in ("audio", "image"):
            return None
        # Pixels, not latents: a frame that is given is one frame.
        spec = VideoSpec(time=1, space=1)
        geometry = Geometry(request.frames, request.height, request.width, request.fps, spec)
        found = known(request, geometry, 1)
        made = reader.frames(clip.path).pixels
    except (RecipeError, RejectedError, ValueError):
        return None
    if found is None or not found.paste.any() or made.shape != found.pixels.shape:
        return None
    return made, found.pixels, found.paste


def kept_scores(kept: Kept) -> dict[str, float | None]:
    """Both ratios."""
    return {"kept_psnr": psnr(*kept), "kept_ssim": ssim(*kept)}


def ssim(made: Pixels, given: Pixels, where: Mask) -> float | None:
    """Mean structural similarity of luma where a mask is set (Wang et al. 2004); None nowhere."""
    if not where.any():
        return None
    total = 0.0
    for a, b, mask in zip(made, given, where, strict=True):
        if mask.any():
            total += float(similarity(grey(a), grey(b))[mask].sum())
    return total / float(where.sum())


def similarity(a: Pixels, b: Pixels) -> Floats:
    """The map [H,W] of two pictures' luma."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    mx, my = smooth(x), smooth(y)
    xx, yy, xy = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    top = (2 * mx * my + C1) * (2 * xy + C2)
    return np.asarray(top / ((mx * mx + my * my + C1) * (xx + yy + C2)))


def smooth(values: Floats) -> Floats:
    """The Gaussian window's mean."""
    return np.asarray(cv2.GaussianBlur(values, WINDOW, SIGMA))
