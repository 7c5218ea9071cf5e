"""What lies over a moving picture without moving: logos, and a film inside a still page.

Found on a clip's kept pictures (sight.Stills) a few a second at scan size: an edge is fixed when
it has the same place and sign in nearly all of them. A fixed camera fixes all edges, so a logo is
told from the scene only where the camera moves or other shots of the film show something else.
"""

from dataclasses import dataclass
from itertools import combinations, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

EDGE = 10.0  # levels a pixel across an edge
AGREE = 0.85  # share of the pictures that a fixed edge is in
MOST = 12  # pictures of the clip, and as many of the rest of the film
FEWEST = 4
WINDOW = 7  # pixels: a logo has edges of both directions within it, a horizon has not
PIECES = 3  # edge pixels of each direction within it
LARGEST = 0.08  # share of the picture: what is larger is the scene itself, or a page around it
SMALLEST = 12  # pixels
OTHER = 6.0  # levels by which another shot's mean picture differs
PATH = 0.1  # heights that the camera must travel
STIRRED = 12  # levels
LINES = 20  # candidates for the sides of a rectangle: a page of text has many
SIDE = 0.7  # share of a rectangle's side that is a fixed edge
BEYOND = 0.8  # share of what follows two opposite sides that goes on: stripes and floors do
FOLLOWS = 6  # pixels that follow
INSIDE = 0.97  # share of all motion inside the rectangle
INSET = (0.06, 0.7)  # share of the picture that a film inside it covers
Luma = NDArray[np.uint8]  # [H,W]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Edges:
    """Fixed edges of some pictures: `across` (gradient along x) and `down` (along y), [H,W]."""

    across: Mask
    down: Mask


def overlay_scores(
    clip: list[Luma], others: list[Luma], camera_path: float
) -> dict[str, float | None]:
    """Logo and inset of a clip from pictures of it and of the film's other shots, without bars.

    `camera_path` in heights: how far the camera travels within the clip.
    """
    if len(clip) < FEWEST:
        return {"logo_share": None, "inset_share": None}
    gradients = [signed(luma) for luma in clip]
    fixed = fixed_edges(gradients)
    scores: dict[str, float | None] = {
        "logo_share": None,
        "inset_share": inset(clip, fixed),
    }
    elsewhere = unlike(clip, others)
    if elsewhere:
        there = [signed(luma) for luma in elsewhere]
        # In those of the other shots too: one short shot is outvoted by the clip's own scene.
        fixed = both(fixed_edges(gradients + there), fixed_edges(there))
    if (elsewhere or camera_path > PATH) and not scores["inset_share"]:
        scores["logo_share"] = logo(fixed)
    return scores


def signed(luma: Luma) -> tuple[Floats, Floats]:
    """Gradients along x and y, levels a pixel."""
    x = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=1 / 4)
    y = cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=1 / 4)
    return x, y


def fixed_edges(gradients: list[tuple[Floats, Floats]]) -> Edges:
    """Edges of one sign at one place in AGREE of the pictures."""
    return Edges(*(steady(np.stack(side)) for side in zip(*gradients, strict=True)))


def both(one: Edges, other: Edges) -> Edges:
    """The edges that are fixed in both."""
    return Edges(one.across & other.across, one.down & other.down)


def steady(gradient: Floats) -> Mask:
    """Where gradients [K,H,W] agree."""
    rises, falls = (gradient > EDGE).mean(axis=0), (gradient < -EDGE).mean(axis=0)
    return np.asarray(np.maximum(rises, falls) >= AGREE)


def unlike(here: list[Luma], others: list[Luma]) -> list[Luma]:
    """The other pictures that show something else than these do."""
    mean = np.mean(here, axis=0)
    return [luma for luma in others if np.abs(luma - mean).mean() > OTHER]


def logo(fixed: Edges) -> float | None:
    """Share of the picture under fixed things with corners; None when all of it is fixed."""
    both = np.ones(fixed.across.shape, bool)
    for mask in (fixed.across, fixed.down):
        near = cv2.boxFilter(mask.astype(np.float32), -1, (WINDOW, WINDOW), normalize=False)
        both &= near >= PIECES - 0.5
    near = cv2.morphologyEx(both.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((WINDOW, WINDOW)))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    area = sum(int(box[4]) for box in boxes[1:] if box[4] >= SMALLEST)
    share = area / near.size
    return share if share <= LARGEST else None


def inset(lumas: list[Luma], fixed: Edges) -> float | None:
    """Share of the picture of a fixed upright rectangle that holds all motion; 0 without one.

    None when nothing moves.
    """
    stirred = np.zeros(lumas[0].shape, np.float32)
    for before, after in pairwise(lumas):
        stirred += cv2.absdiff(before, after) > STIRRED
    stirred = (stirred > 0).astype(np.float32)
    if stirred.sum() < 20:
        return None
    inside = np.pad(stirred.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    # Cumulative counts along each line; a line may waver by a pixel.
    down = reach(fixed.down).cumsum(axis=1)
    across = reach(fixed.across.T).cumsum(axis=1)
    best = 0.0
    size = float(stirred.size)
    for top, bottom in around(lines(fixed.down), stirred.sum(axis=1)):
        for left, right in around(lines(fixed.across.T), stirred.sum(axis=0)):
            share = (bottom - top) * (right - left) / size
            if not INSET[0] <= share <= INSET[1] or (best and share >= best):
                continue
            sides = (
                span(down[top], left, right),
                span(down[bottom], left, right),
                span(across[left], top, bottom),
                span(across[right], top, bottom),
            )
            if min(sides) < SIDE:
                continue
            level = max(ends(down[row], left, right) for row in (top, bottom))
            upright = max(ends(across[column], top, bottom) for column in (left, right))
            if min(level, upright) > BEYOND:
                continue
            box = slice_sum(inside, top, bottom + 1, left, right + 1)
            if box >= INSIDE * stirred.sum():
                best = share
    return best


def around(places: list[int], stirred: Floats) -> list[tuple[int, int]]:
    """The pairs of lines between which INSIDE of all motion lies; `stirred` is motion by line."""
    upto = np.concatenate([[0.0], stirred.cumsum() / stirred.sum()])
    return [(a, b) for a, b in combinations(places, 2) if upto[b + 1] - upto[a] >= INSIDE]


def reach(mask: Mask) -> Floats:
    """The mask widened by one pixel across its lines."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 1), np.uint8)).astype(np.float32)


def lines(mask: Mask) -> list[int]:
    """Rows with the most fixed edges, rising; neighbours count once."""
    count = mask.sum(axis=1).astype(float)
    found = []
    for _ in range(LINES):
        row = int(count.argmax())
        if count[row] < 0.12 * mask.shape[1]:
            break
        found.append(row)
        count[max(0, row - 1) : row + 2] = 0
    return sorted(found)


def span(line: Floats, start: int, end: int) -> float:
    """Mean of a line [start, end) from its cumulative sums."""
    return float(line[end - 1] - (line[start - 1] if start else 0.0)) / max(1, end - start)


def ends(line: Floats, start: int, end: int) -> float:
    """Mean of the FOLLOWS pixels beyond either end of [start, end), from cumulative sums; 1 where
    the picture ends, for nobody sees that a line does.
    """
    before, after = max(0, start - 2), min(len(line), end + 2)
    return max(
        span(line, max(0, before - FOLLOWS), before) if before else 1.0,
        span(line, after, min(len(line), after + FOLLOWS)) if after < len(line) else 1.0,
    )


def slice_sum(table: Floats, top: int, bottom: int, left: int, right: int) -> float:
    """Sum over a rectangle from a summed-area table."""
    return float(table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left])
