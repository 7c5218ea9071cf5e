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


def sound(
    reader: MediaReader, path: str, start_s: float, samples: int, rate: int, channels: int = 1
) -> np.ndarray:
    """Sound from start_s on: float32 [channels,S] in -1...1, 1 (the mean of all) or 2 channels.

    Starts at the sample nearest to start_s: at most 31 us off at 16 kHz. Raises RejectedError.
    """
    first = round(start_s * rate)
    span = (first / rate, (first + samples) / rate)
    heard = reader.sound(path, rate, *span, mono=channels == 1).samples
    if channels == 2:
        heard = sides(heard)
    found = heard.shape[1]
    if abs(found - samples) > 1:  # one either way is rounding of the request
        raise RejectedError(Reason.CORRUPT, f"{found} samples of sound, {samples} wanted")
    fitted = np.zeros((channels, samples), np.float32)
    fitted[:, :found] = heard[:, :samples]
    return fitted.clip(-1, 1)


def sides(heard: np.ndarray) -> np.ndarray:
    """Left and right [2,S] of any number of channels [N,S].

    5.1 is mixed as in ITU-R BS.775 (centre and surrounds at -3 dB, no low-frequency channel); of
    other layouts than that, mono and stereo both sides get the mean.
    """
    if len(heard) == 2:
        return heard
    if len(heard) != 6:
        return heard.mean(0, keepdims=True).repeat(2, axis=0)
    front, centre, behind = heard[:2], heard[2:3], heard[4:]
    return front + 0.5**0.5 * (centre + behind)
