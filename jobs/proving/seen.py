"""Read a clip of the generated world from its pixels: which objects, how they move, what they hit.

The palette and the four shapes are known, nothing else is: not the prompt, not the truth. What does
not look like one of them is not seen, so a grey blur has no objects.

Lengths are in picture heights, y down, as in a film's truth; letters: N frames, H W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from curation.alignment import Times, turns
from curation.world.render import DISTANCE, RGB

COLOURS = tuple(RGB)
PALETTE = np.array([RGB[name] for name in COLOURS], np.float32)
SHAPES = tuple(DISTANCE)
AWAY = 80.0  # of RGB space: further from every colour of the palette a pixel is none of them
SMALLEST = 0.0015  # of the picture: a smaller spot is no object; the smallest one is 0.005
OFTEN = 0.25  # of the frames: what is seen more rarely is no object
PART = 0.4  # of a colour's usual area: a smaller piece is not another object of that colour
SIDEWAYS = 0.08  # heights in half a second; the slowest throw goes 0.2, a centre wanders by 0.02
STARTED = 0.01  # heights from where it hung
FIRST_S = 0.5  # of the motion decides its direction: later a wall may have turned it
WHOLE = 0.85  # of an object's largest area: less is hidden or cut off by the edge
LOOKED = 6  # frames that decide a shape
STEP = 1 / 200  # of a radius: how finely a shape is drawn for its area and middle
Pixels = NDArray[np.uint8]
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Thing:
    """An object that was seen."""

    colour: str
    shape: str
    count: int  # of this colour at one time
    radius: float
    fit: float  # 0…1: how much of its outline is the shape's (intersection over union)
    path: NDArray[np.float64]  # [N,2] x and y of the middle, NaN where it is not seen

    def direction(self, fps: float) -> str:
        """left, right, down, up or still: where it goes first."""
        return heading(self.path, fps)


def look(pixels: Pixels) -> list[Thing]:
    """The objects of a clip [N,H,W,3] uint8, largest first."""
    shown = [pieces(frame) for frame in pixels]
    found = [
        thing
        for index in range(len(COLOURS))
        if (thing := follow([frame.get(index) for frame in shown], index, pixels.shape[1]))
    ]
    return sorted(found, key=lambda thing: -thing.radius)


def impacts(things: list[Thing], fps: float) -> Times:
    """Times in seconds at which one of the objects turns: on the floor, a wall or another."""
    times = [
        time
        for thing in things
        for time in (
            *turns(thing.path[:, 1], rest=True),
            *turns(thing.path[:, 0]),
            *turns(-thing.path[:, 0]),
        )
    ]
    return np.array(sorted(times), np.float64) / fps


@dataclass(frozen=True)
class Piece:
    """What one frame shows of a colour: its largest piece, as coverage of the pixels around it."""

    coverage: Float  # [h,w] in 0…1
    corner: tuple[int, int]  # row and column of the patch in the picture
    middle: tuple[float, float]  # x, y of its mass in pixels
    area: float  # pixels
    inside: bool  # touches no edge of the picture
    areas: tuple[float, ...]  # of all pieces of the colour


def follow(frames: list[Piece | None], index: int, height: int) -> Thing | None:
    """The object of one colour through the frames of a clip, or None."""
    there = [piece for piece in frames if piece]
    if not there or len(there) < OFTEN * len(frames):
        return None
    usual = float(np.median([piece.area for piece in there]))
    path = np.full((len(frames), 2), np.nan)
    counts = []
    for number, piece in enumerate(frames):
        if piece and piece.area > 0.3 * usual:
            path[number] = piece.middle[0] / height, piece.middle[1] / height
            counts.append(sum(area > PART * usual for area in piece.areas))
    largest = np.quantile([piece.area for piece in there], 0.9)
    chosen = [p for p in there if p.inside and p.area > WHOLE * largest] or there
    picked = np.unique(np.linspace(0, len(chosen) - 1, LOOKED).astype(int))
    shape, fit, radius, shift = outline([chosen[n] for n in picked])
    middle = path - np.array([0.0, shift / height])  # of the shape, which is not its mass's
    count = max(1, int(np.quantile(counts, 0.8)))
    return Thing(COLOURS[index], shape, count, radius / height, fit, middle)


def pieces(frame: Pixels) -> dict[int, Piece]:
    """The largest piece of each colour in a frame [H,W,3], by the colour's place in COLOURS."""
    values = frame.astype(np.float32)
    away = np.linalg.norm(values[:, :, None] - PALETTE, axis=-1)
    nearest, least = away.argmin(axis=-1), away.min(axis=-1)
    back = backdrop(values)
    vivid = (least < AWAY) & (least < np.linalg.norm(values - back, axis=-1))
    found = {}
    for index in np.unique(nearest[vivid]):
        own = ndimage.binary_opening(vivid & (nearest == index))
        labels, count = ndimage.label(own)
        areas = np.bincount(labels.ravel())[1:]
        if count and areas.max() >= SMALLEST * own.size:
            found[int(index)] = cut_out(values, back, PALETTE[index], labels, areas)
    return found


def cut_out(
    values: Float, back: Float, colour: Float, labels: NDArray[np.int32], areas: NDArray[np.int64]
) -> Piece:
    """The largest of a colour's labelled pieces, its edge as the share of the colour there."""
    largest = int(areas.argmax()) + 1
    where = ndimage.find_objects(labels)[largest - 1]
    patch = tuple(slice(max(side.start - 2, 0), side.stop + 2) for side in where)
    own = colour - back[patch[0]]
    mixed = ((values[patch] - back[patch[0]]) * own).sum(-1) / (own**2).sum(-1)
    near = ndimage.binary_dilation(labels[patch] == largest, iterations=2)
    coverage = np.where(near, np.clip(mixed, 0, 1), 0).astype(np.float32)
    mass = float(coverage.sum())
    y, x = np.mgrid[: coverage.shape[0], : coverage.shape[1]] + 0.5
    corner = patch[0].start, patch[1].start
    middle = (
        corner[1] + float((x * coverage).sum()) / mass,
        corner[0] + float((y * coverage).sum()) / mass,
    )
    edges = zip(where, labels.shape, strict=True)
    inside = all(side.start > 0 and side.stop < size for side, size in edges)
    return Piece(coverage, corner, middle, mass, inside, tuple(map(float, areas)))


def backdrop(frame: Float) -> Float:
    """What is behind the objects, [H,1,3]: each row's middle value of what is dull."""
    chroma = frame.max(-1) - frame.min(-1)
    dull = (chroma < 60) & (frame.max(-1) < 205)
    whole = np.median(frame[dull], axis=0) if dull.any() else np.full(3, 100.0)
    rows = np.broadcast_to(whole, (len(frame), 3)).astype(np.float32).copy()
    for number in np.flatnonzero(dull.sum(axis=1) > 2):
        rows[number] = np.median(frame[number][dull[number]], axis=0)
    return rows[:, None]


def outline(pieces: list[Piece]) -> tuple[str, float, float, float]:
    """Shape, how well it fits, radius and how far its mass lies below its middle, in pixels.

    Each shape is drawn with the area and the middle of what was seen; the one that covers it best
    is it.
    """
    scores = {}
    for shape in SHAPES:
        fit, radius, shift = np.mean([covered(piece, shape) for piece in pieces], axis=0)
        scores[shape] = float(fit), float(radius), float(shift)
    best = max(scores, key=lambda shape: scores[shape][0])
    return (best, *scores[best])


def covered(piece: Piece, shape: str) -> tuple[float, float, float]:
    """Intersection over union with the shape, its radius and its mass's shift, in pixels."""
    area, shift = FACTS[shape]
    radius = float(np.sqrt(piece.area / area))
    x, y = piece.middle[0] - piece.corner[1], piece.middle[1] - piece.corner[0] - shift * radius
    rows = np.arange(piece.coverage.shape[0], dtype=np.float32)[:, None] + np.float32(0.5 - y)
    columns = np.arange(piece.coverage.shape[1], dtype=np.float32)[None] + np.float32(0.5 - x)
    drawn = np.clip(0.5 - DISTANCE[shape](columns, rows, radius), 0, 1)
    both = np.minimum(drawn, piece.coverage).sum()
    return float(both / np.maximum(drawn, piece.coverage).sum()), radius, shift * radius


def facts() -> Iterator[tuple[str, tuple[float, float]]]:
    """Of each shape of radius 1: its area, and how far below its middle its mass lies."""
    side = np.arange(-1.5, 1.5, STEP, dtype=np.float32)
    for shape in SHAPES:
        inside = DISTANCE[shape](side[None], side[:, None], 1.0) < 0
        area = int(inside.sum())
        yield shape, (area * STEP**2, float((side[:, None] * inside).sum()) / area)


FACTS = dict(facts())


def heading(path: NDArray[np.float64], fps: float) -> str:
    """Where a path [N,2] goes in its first half second of motion."""
    seen = path[~np.isnan(path[:, 0])]
    if len(seen) < 2:
        return "still"
    moved = np.hypot(*(seen - seen[0]).T) > STARTED
    if not moved.any():
        return "still"
    first = max(int(moved.argmax()) - 1, 0)
    way = seen[first : first + 1 + max(2, round(FIRST_S * fps))] - seen[first]
    x, y = (way[np.abs(way[:, axis]).argmax(), axis] for axis in (0, 1))
    if abs(x) >= SIDEWAYS:
        return "left" if x < 0 else "right"
    return "down" if y > 0 else "up"
