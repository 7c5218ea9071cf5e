"""What is measured on every frame while a film is decoded; clips come later (picture.py).

A `Sight` is fed consecutive frames of one film, a stretch at a time. Everything is small per frame,
so memory hardly grows with the film; of the pictures themselves only one in STILL_S is kept.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.colour import NAMES, colour_shares
from curation.likeness import frame_hash

Pixels = NDArray[np.uint8]  # [N,H,W,3] or [H,W,3]
Floats = NDArray[np.float64]

BLACK = 24  # luma of 255: codec black is 16, plus its noise
LIFT = 6  # levels by which a picture is brighter than the bar beside it
WHITE = 250  # luma of 255 that no camera tells apart from more
STILL_S = 0.5  # a kept picture is 16 KB at 96 px
MOST_STILLS = 8_000  # 130 MB; films of more than 67 minutes keep fewer a second
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
    "blown",  # share of pixels at white
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
    "top_edge",  # share of the columns or rows that are lit up where that border ends
    "bottom_edge",
    "west_edge",
    "east_edge",
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


@dataclass(frozen=True)
class Stills:
    """Some pictures of a film for what is seen only over time: times [K], luma [K] of [H,W]."""

    times: Floats
    lumas: list[NDArray[np.uint8]]

    def between(self, start: float, end: float) -> "Stills":
        """Those shown in [start, end)."""
        low, high = np.searchsorted(self.times, [start - 1e-4, end - 1e-4])
        return Stills(self.times[low:high], self.lumas[low:high])

    def outside(self, start: float, end: float) -> "Stills":
        """Those shown before `start` or from `end` on."""
        low, high = np.searchsorted(self.times, [start - 1e-4, end - 1e-4])
        times = np.concatenate([self.times[:low], self.times[high:]])
        return Stills(times, self.lumas[:low] + self.lumas[high:])

    def spread(self, most: int) -> "Stills":
        """At most `most` of them, evenly spread."""
        if len(self.lumas) <= most:
            return self
        places = ((np.arange(most) + 0.5) / most * len(self.lumas)).astype(int)
        return Stills(self.times[places], [self.lumas[i] for i in places])


class Sight:
    """Measures frames of a film of about `seconds` in order."""

    def __init__(self, seconds: float = 0.0) -> None:
        # The fastest preset: 0.4 ms a pair at 228x128, 0.2 ms at 171x96, one thread.
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._last: Pixels | None = None
        self._times: list[float] = []
        self._values: list[list[float]] = []
        self._hashes: list[int] = []
        self._gap = max(STILL_S, seconds / MOST_STILLS)
        self._still_times: list[float] = []
        self._stills: list[NDArray[np.uint8]] = []

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
            if not self._still_times or time >= self._still_times[-1] + self._gap - 1e-4:
                self._still_times.append(float(time))
                self._stills.append(luma)

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

    def stills(self) -> Stills:
        """The kept pictures so far."""
        return Stills(np.array(self._still_times), self._stills)


def still(luma: NDArray[np.uint8]) -> list[float]:
    """Brightness, contrast, sharpness, lit and blown share of one frame."""
    mean, spread = cv2.meanStdDev(luma)
    edges = cv2.Laplacian(luma, cv2.CV_16S)
    _, sharp = cv2.meanStdDev(edges)
    lit = cv2.countNonZero(cv2.compare(luma, BLACK, cv2.CMP_GT)) / luma.size
    blown = cv2.countNonZero(cv2.compare(luma, WHITE, cv2.CMP_GE)) / luma.size
    return [mean.item() / 255, spread.item() / 255, sharp.item() ** 2, lit, blown]


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
    """Dark rows at top and bottom, dark columns at left and right, as shares of the picture; then
    for each how much of it ends in a line: the share of its length beyond which it is brighter.
    """
    shares, ends = [], []
    for image in (luma, luma[::-1], luma.T, luma.T[::-1]):
        bright = image.max(axis=1) > BLACK
        width = int(bright.argmax()) if bright.any() else len(image)
        shares.append(width / len(image))
        if not 0 < width < len(image) - 1:
            ends.append(0.0)
            continue
        # The line between is a mixture of both.
        lifted = image[width + 1] >= image[width - 1].astype(np.int16) + LIFT
        ends.append(np.count_nonzero(lifted) / lifted.size)
    return [*shares, *ends]
