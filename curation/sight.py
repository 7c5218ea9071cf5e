"""What is measured on picture: once a frame while decoding, then a clip's scores from its frames.

A `Sight` is fed consecutive frames of one film, a minute at a time, so memory does not grow with
the film. Everything is small per frame: a clip's scores are statistics over its frames.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.colour import NAMES, colour_shares, main_colours
from curation.likeness import clip_hash, frame_hash

Pixels = NDArray[np.uint8]  # [N,H,W,3] or [H,W,3]
Floats = NDArray[np.float64]

BLACK = 24  # luma of 255: codec black is 16, plus its noise
REPEAT = 2.5  # levels: what re-coding moves in a block mean while nothing moves
MOVING = 0.15  # pixels a frame; below it DIS flow is noise on flat areas
CAMERA_AREA = 0.3  # share of the picture that moves when the camera does
TILE = 8  # pixels; block means damp codec noise

# Columns of a frame's measurements.
COLUMNS = (
    "brightness",
    "contrast",
    "sharpness",
    "lit",  # share of pixels above black
    "change",  # largest change of a block mean since the frame before, levels
    "flow",  # mean flow length, pixels
    "camera_x",
    "camera_y",
    "subject",  # share of pixels that move against the camera
    "right",  # flow of all that goes right, left, down, up, pixels mean over the picture
    "left",
    "down",
    "up",
    "top",  # dark border rows and columns as share of height and width
    "bottom",
    "west",
    "east",
    *NAMES,  # share of the picture under each colour
)
INDEX = {name: i for i, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Track:
    """Measurements of consecutive frames: times [N] in seconds, values [N,COLUMNS], hashes [N]."""

    times: Floats
    values: Floats
    hashes: NDArray[np.uint64]

    def __getitem__(self, name: str) -> Floats:
        return self.values[:, INDEX[name]]

    def between(self, start: float, end: float) -> "Track":
        """The frames shown in [start, end)."""
        low, high = np.searchsorted(self.times, [start - 1e-4, end - 1e-4])
        return Track(self.times[low:high], self.values[low:high], self.hashes[low:high])


class Sight:
    """Measures frames in order; keeps only the last picture between calls."""

    def __init__(self) -> None:
        # The fastest preset: 0.4 ms a pair at 228x128, 0.2 ms at 171x96, one thread.
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._last: Pixels | None = None
        self._times: list[float] = []
        self._values: list[list[float]] = []
        self._hashes: list[int] = []

    def feed(self, times: Floats, pixels: Pixels) -> None:
        """Measure frames [N,H,W,3] shown at `times`."""
        for time, pixel in zip(times, pixels, strict=True):
            luma = cv2.cvtColor(pixel, cv2.COLOR_RGB2GRAY)
            self._times.append(float(time))
            small = cv2.resize(pixel, (32, 32), interpolation=cv2.INTER_AREA)
            measured = [*still(luma), *self._moved(pixel), *borders(luma), *colour_shares(small)]
            self._values.append(measured)
            self._hashes.append(frame_hash(luma))
            self._last = pixel

    def _moved(self, pixel: Pixels) -> list[float]:
        if self._last is None or self._last.shape != pixel.shape:
            return [0.0] * 9
        blocks = block_changes(self._last, pixel)
        changes = blocks.reshape(-1, 3).max(axis=0)
        change = float(changes.max())
        if change < REPEAT / 2:
            return [change, *[0.0] * 8]  # nothing moves: no flow to look for
        # Luma is blind to a blue ball on a grey wall: flow follows the channel that changes most.
        best = int(changes.argmax())
        before = np.ascontiguousarray(self._last[..., best])
        after = np.ascontiguousarray(pixel[..., best])
        stirred = cv2.compare(np.ascontiguousarray(blocks[..., best]), 1, cv2.CMP_GT)
        size = after.shape[::-1]
        stirred = cv2.resize(stirred, size, interpolation=cv2.INTER_NEAREST) > 0
        return [change, *motion(self._flow.calc(before, after, None), stirred)]

    def track(self) -> Track:
        """All frames so far."""
        values = np.array(self._values).reshape(-1, len(COLUMNS))
        return Track(np.array(self._times), values, np.array(self._hashes, dtype=np.uint64))


def still(luma: NDArray[np.uint8]) -> list[float]:
    """Brightness, contrast, sharpness and lit share of one frame."""
    mean, spread = cv2.meanStdDev(luma)
    edges = cv2.Laplacian(luma, cv2.CV_16S)
    _, sharp = cv2.meanStdDev(edges)
    lit = cv2.countNonZero(cv2.compare(luma, BLACK, cv2.CMP_GT)) / luma.size
    return [mean.item() / 255, spread.item() / 255, sharp.item() ** 2, lit]


def block_changes(before: Pixels, after: Pixels) -> NDArray[np.uint8]:
    """Mean change of each TILE-pixel block in each channel [h,w,3], in levels."""
    difference = cv2.absdiff(before, after)
    height, width = difference.shape[:2]
    size = (max(1, width // TILE), max(1, height // TILE))
    return cv2.resize(difference, size, interpolation=cv2.INTER_AREA)


def motion(flow: NDArray[np.float32], stirred: NDArray[np.bool_]) -> list[float]:
    """Flow length, camera vector, subject share and the four one-sided flows of a pair of frames.

    DIS spreads the flow of a ball over a plain wall, so only `stirred` pixels [H,W] count as
    moving, and they are the camera's doing when they cover CAMERA_AREA of the picture. One-sided
    sums (right, left, down, up) change when two things collide; the plain sum, like momentum, does
    not.
    """
    x, y = flow[..., 0][stirred], flow[..., 1][stirred]
    whole = stirred.size
    if not x.size:
        return [0.0] * 8
    pans = x.size > CAMERA_AREA * whole
    camera_x, camera_y = (float(np.median(x)), float(np.median(y))) if pans else (0.0, 0.0)
    length = float(np.hypot(x, y).sum(dtype=np.float64)) / whole
    x, y = x - camera_x, y - camera_y
    limit = max(MOVING, 0.5 * float(np.hypot(camera_x, camera_y)))
    subject = np.count_nonzero(np.hypot(x, y) > limit) / whole
    sides = [float(np.maximum(side, 0).sum(dtype=np.float64)) / whole for side in (x, -x, y, -y)]
    return [length, camera_x, camera_y, subject, *sides]


def borders(luma: NDArray[np.uint8]) -> list[float]:
    """Dark rows at top and bottom, dark columns at left and right, as shares of the picture."""
    rows = cv2.reduce(luma, 1, cv2.REDUCE_MAX).ravel()
    columns = cv2.reduce(luma, 0, cv2.REDUCE_MAX).ravel()
    shares = []
    for line in (rows, rows[::-1], columns, columns[::-1]):
        bright = line > BLACK
        shares.append(float(bright.argmax()) / line.size if bright.any() else 1.0)
    return shares


def picture_scores(track: Track, height: int) -> dict[str, float | str | None]:
    """Scores of a clip from the measurements of its frames, taken at `height` pixels."""
    if not len(track.times):
        return {}
    # The first frame has no frame before it.
    pairs = Track(track.times[1:], track.values[1:], track.hashes[1:])
    step = np.diff(track.times)
    lit = track["lit"]
    colours = np.stack([track[name] for name in NAMES], axis=1)
    scores: dict[str, float | str | None] = {
        "colours": main_colours(colours.mean(axis=0)),
        "phash": clip_hash(track.hashes),
        "brightness": float(track["brightness"].mean()),
        "contrast": float(np.median(track["contrast"])),
        "sharpness": float(np.median(track["sharpness"])),
        "black_share": float((lit < 0.005).mean()),
        "bars": bars(track),
    }
    if not len(pairs.times):
        return scores
    speed = pairs["flow"] / height / step
    camera = np.hypot(pairs["camera_x"], pairs["camera_y"]) / height / step
    moving = pairs["change"] >= REPEAT
    scores |= {
        "motion": float(np.median(speed[moving])) if moving.any() else 0.0,
        "camera_motion": float(np.median(camera[moving])) if moving.any() else 0.0,
        "subject_share": float(np.median(pairs["subject"][moving])) if moving.any() else 0.0,
        "frozen_share": float((~moving).mean()),
        "flicker": float(np.abs(np.diff(track["brightness"])).mean()),
    }
    return scores


def bars(track: Track) -> float:
    """Share of the picture under black bars: dark borders that no frame of the clip lights up.

    Frames without any light say nothing. Bars come in pairs of like size; a dark floor does not.
    """
    seen = track["lit"] >= 0.005
    if not seen.any():
        return 0.0
    top, bottom, west, east = (
        float(track[name][seen].min()) for name in ("top", "bottom", "west", "east")
    )
    tall = top + bottom if abs(top - bottom) <= 0.05 else 0.0
    wide = west + east if abs(west - east) <= 0.05 else 0.0
    return 1.0 - (1.0 - tall) * (1.0 - wide)
