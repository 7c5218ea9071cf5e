"""Defects of the picture. Each takes its numbers and pixels [N,H,W,3] and gives new pixels.

What was decided inside (a place, a strength) is added to the numbers, which become the truth.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BARS = 0.14  # share of the height or width of each black bar
BLOWN = 0.5  # share of the picture that overexposure drives to white
CRUSHED = 0.9  # share of the picture that underexposure drives to black
BLACK = 18  # luma of 255 under which nothing is told apart
Pixels = NDArray[np.uint8]
Mask = NDArray[np.float32]


def letterbox(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """The picture squeezed between two black bars above and below."""
    bar = max(2, round(BARS * pixels.shape[1]))
    defect |= {"top": bar, "bottom": bar}
    return framed(pixels, bar, 0)


def pillarbox(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """The picture squeezed between two black bars at its sides."""
    bar = max(2, round(BARS * pixels.shape[2]))
    defect |= {"left": bar, "right": bar}
    return framed(pixels, 0, bar)


def framed(pixels: Pixels, rows: int, columns: int) -> Pixels:
    """The picture made smaller by black borders of so many rows and columns on each side."""
    out = np.zeros_like(pixels)
    _, H, W, _ = pixels.shape
    size = (W - 2 * columns, H - 2 * rows)
    for frame, source in zip(out, pixels, strict=True):
        small = cv2.resize(source, size, interpolation=cv2.INTER_AREA)
        frame[rows : H - rows, columns : W - columns] = small
    return out


def overlay(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """White text with a dark edge across the upper part of every frame."""
    out = pixels.copy()
    text = defect["text"]
    _, H, W, _ = pixels.shape
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)
    size = 0.9 * W / width
    at = (round(0.05 * W), round(0.06 * H + size * height))
    for frame in out:
        for colour, line in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            weight = max(1, round(line * size))
            cv2.putText(
                frame, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, weight, cv2.LINE_AA
            )
    return out


def watermark(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """A white half-clear logo in one of the corners."""
    rng = np.random.default_rng(defect["seed"])
    corner, alpha = int(rng.integers(4)), round(float(rng.uniform(0.5, 0.8)), 3)
    side = round(float(rng.uniform(0.16, 0.24)) * pixels.shape[1])
    defect |= {"corner": corner, "alpha": alpha, "side": side}
    mask = np.zeros(pixels.shape[1:3], np.float32)
    gap = max(2, side // 4)
    top = gap if corner < 2 else pixels.shape[1] - gap - side
    left = gap if corner % 2 == 0 else pixels.shape[2] - gap - side
    mask[top : top + side, left : left + side] = logo(side)
    weight = (alpha * mask)[..., None]
    return np.round(pixels + weight * (np.float32(255) - pixels)).astype(np.uint8)


def logo(side: int) -> Mask:
    """A ring around a triangle, 0…1 [side,side]."""
    large = np.zeros((4 * side, 4 * side), np.uint8)
    middle, radius = 2 * side, round(1.8 * side)
    cv2.circle(large, (middle, middle), radius, 255, max(2, round(0.35 * side)))
    turns = np.deg2rad([0, 120, 240])
    tips = middle + 0.55 * radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    cv2.fillPoly(large, [np.round(tips).astype(np.int32)], 255)
    small = cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)
    return (small / 255).astype(np.float32)


def noise(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """Grain, fresh on every frame and in every channel."""
    rng = np.random.default_rng(defect["seed"])
    defect["sigma"] = sigma = round(float(rng.uniform(10, 25)), 2)
    grain = rng.standard_normal(pixels.shape, np.float32) * np.float32(sigma)
    return np.clip(np.round(pixels + grain), 0, 255).astype(np.uint8)


def blur(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """Every frame out of focus."""
    rng = np.random.default_rng(defect["seed"])
    defect["sigma"] = sigma = round(float(rng.uniform(2.0, 3.5)), 2)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in pixels])


def blocking(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """Every frame through JPEG at a quality that leaves its 8x8 blocks in sight."""
    rng = np.random.default_rng(defect["seed"])
    defect["quality"] = quality = int(rng.integers(4, 11))
    out = np.empty_like(pixels)
    for frame, source in zip(out, pixels, strict=True):
        _, data = cv2.imencode(
            ".jpg", np.ascontiguousarray(source), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        frame[:] = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return out


def inset(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """The film shown small on a still page with a heading and lines, as a screen recording does."""
    rng = np.random.default_rng(defect["seed"])
    _, H, W, _ = pixels.shape
    share = float(rng.uniform(0.45, 0.65))
    h, w = round(share * H), round(share * W)
    top = round(float(rng.uniform(0.15, 0.9)) * (H - h))
    left = round(float(rng.uniform(0.1, 0.9)) * (W - w))
    defect |= {"top": top, "left": left, "height": h, "width": w}
    light = rng.random() < 0.5
    page = np.full((H, W, 3), 235 if light else 28, np.uint8)
    ink = 150 if light else 110
    for line in np.linspace(0.05, 0.95, 8):
        row, end = round(line * H), round(float(rng.uniform(0.5, 0.95)) * W)
        page[row : row + max(1, H // 64), round(0.05 * W) : end] = ink
    out = np.repeat(page[None], len(pixels), axis=0)
    for frame, source in zip(out, pixels, strict=True):
        small = cv2.resize(source, (w, h), interpolation=cv2.INTER_AREA)
        frame[top : top + h, left : left + w] = small
    return out


def overexposed(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """So much light that BLOWN of the picture is white."""
    level = float(np.percentile(pixels.mean(axis=-1), 100 * (1 - BLOWN)))
    defect["gain"] = gain = round(255 / max(level, 1.0), 3)
    return np.clip(np.round(pixels * np.float32(gain)), 0, 255).astype(np.uint8)


def underexposed(defect: dict[str, Any], pixels: Pixels) -> Pixels:
    """So little light that CRUSHED of the picture is black."""
    level = float(np.percentile(pixels.mean(axis=-1), 100 * CRUSHED))
    defect["gain"] = gain = round(min(1.0, BLACK / max(level, 1.0)), 4)
    return np.round(pixels * np.float32(gain)).astype(np.uint8)


PICTURE: dict[str, Callable[[dict[str, Any], Pixels], Pixels]] = {
    "letterbox": letterbox,
    "overlay": overlay,
    "watermark": watermark,
    "noise": noise,
    "blur": blur,
    "blocking": blocking,
    "pillarbox": pillarbox,
    "inset": inset,
    "overexposed": overexposed,
    "underexposed": underexposed,
}
