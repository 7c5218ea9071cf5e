"""One clip as a rendition sees it: so many frames of one size, and the sound of the same seconds.

Letters: F frames, H W pixels, S samples.
"""

import numpy as np

from curation.media import MediaReader
from curation.records import Reason, RejectedError
from curation.scores import Crop


def picture(
    reader: MediaReader,
    path: str,
    start_s: float,
    size: tuple[int, int, int],
    fps: float,
    crop: Crop | None = None,
) -> np.ndarray:
    """Frames shown at the middle of each 1/fps from start_s on: uint8 [F,H,W,3], size = (F,H,W).

    The middle, because at the edge of a frame's time rounding decides which of two is shown.
    What `crop` leaves of them is scaled to cover H x W, centre cut. Raises RejectedError.
    """
    frames, height, width = size
    times = start_s + (np.arange(frames) + 0.5) / fps
    shown = reader.frames(path, size=(height, width), times=times, crop=crop).pixels
    if shown.shape != (*size, 3):
        detail = f"{shown.shape[0]} frames of {shown.shape[1:3]}, {frames} of {size[1:]} wanted"
        raise RejectedError(Reason.CORRUPT, detail)
    return shown


def sound(reader: MediaReader, path: str, start_s: float, samples: int, rate: int) -> np.ndarray:
    """The mean of all channels from start_s on: float32 [S] in -1...1. Raises RejectedError.

    Starts at the sample nearest to start_s: at most 31 us off at 16 kHz.
    """
    first = round(start_s * rate)
    heard = reader.sound(path, rate, first / rate, (first + samples) / rate, mono=True).samples[0]
    if abs(len(heard) - samples) > 1:  # one either way is rounding of the request
        raise RejectedError(Reason.CORRUPT, f"{len(heard)} samples of sound, {samples} wanted")
    fitted = np.zeros(samples, np.float32)
    fitted[: len(heard)] = heard[:samples]
    return fitted.clip(-1, 1)
