"""Names of colours and how much of a picture each covers."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

NAMES = (
    "black",
    "grey",
    "white",
    "red",
    "orange",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
    "brown",
)
# Hue limits in OpenCV's half degrees, upper ends.
HUES = ((8, "red"), (20, "orange"), (33, "yellow"), (80, "green"), (98, "cyan"))
HUES_BLUE = ((130, "blue"), (150, "purple"), (170, "pink"), (181, "red"))
BITS = 5  # of each channel; 32,768 colours are named once


@lru_cache(maxsize=1)
def table() -> NDArray[np.uint8]:
    """The name's number of every colour, by the top BITS of red, green, blue."""
    size = 1 << BITS
    axis = (np.arange(size) * 256 + 128) // size
    rgb = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).astype(np.uint8)
    hsv = cv2.cvtColor(rgb.reshape(size * size, size, 3), cv2.COLOR_RGB2HSV)
    return np.array([name_of(*map(int, c)) for c in hsv.reshape(-1, 3)], dtype=np.uint8)


def name_of(hue: int, saturation: int, value: int) -> int:
    """The number in NAMES of one HSV colour as OpenCV scales it."""
    if value < 40:
        return NAMES.index("black")
    if saturation < 45:
        return NAMES.index("white" if value > 210 else "grey")
    name = next(n for top, n in (*HUES, *HUES_BLUE) if hue < top)
    if name in ("red", "orange") and 40 <= value < 140 and hue >= 4:
        name = "brown"
    return NAMES.index(name)


def colour_shares(pixel: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of the picture [H,W,3] under each of NAMES."""
    high = (pixel >> (8 - BITS)).astype(np.int32)
    index = (high[..., 0] << (2 * BITS)) | (high[..., 1] << BITS) | high[..., 2]
    return np.bincount(table()[index].ravel(), minlength=len(NAMES)) / index.size


def main_colours(shares: NDArray[np.float64], least: float = 0.03, most: int = 4) -> str:
    """The largest colours of mean shares [NAMES] as `blue, white`."""
    order = np.argsort(-shares, kind="stable")[:most]
    return ", ".join(NAMES[i] for i in order if shares[i] >= least)
