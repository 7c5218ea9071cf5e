"""Draw shots: antialiased shapes on a background with a floor, seen by a camera that may pan.

H W are rows and columns of the picture; 1 world unit is H pixels. A shape's edge is smoothed by
its signed distance in pixels: coverage 1 half a pixel inside, 0 half a pixel outside.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from curation.world.scene import CEILING, Shot, Thing

RGB = {
    "red": (214, 48, 49),
    "orange": (232, 126, 4),
    "yellow": (246, 209, 40),
    "green": (39, 174, 96),
    "cyan": (30, 200, 215),
    "blue": (41, 98, 210),
    "purple": (155, 68, 190),
    "white": (240, 240, 240),
}
POP = 0.12  # seconds in which an object that appears grows to its size
Float = NDArray[np.float32]
Distance = Callable[[Float, Float, float], Float]


def render_shot(shot: Shot, fps: float, frames: NDArray[np.uint8]) -> None:
    """Draw the shot into uint8 frames [N,H,W,3]; frame n shows the instant n/fps of the shot."""
    _, H, W, _ = frames.shape
    backdrop = draw_backdrop(shot, H, W)
    front = draw_occluder(shot, backdrop.shape[1], H)
    for number, frame in enumerate(frames):
        time = number / fps
        left = view_left(shot, number) * H
        canvas = crop(backdrop, left, W)
        for thing in shot.things:
            if time >= thing.body.enters:
                draw_thing(canvas, thing, time, left)
        if front is not None:
            alpha = crop(front, left, W)
            canvas += alpha * (np.float32(52.0) - canvas)
        np.copyto(frame, np.round(canvas), casting="unsafe")


def view_left(shot: Shot, number: float) -> float:
    """Left edge of the picture at a frame of the shot, in world units."""
    last = max(shot.end - shot.first - 1, 1)
    return shot.view[0] + (shot.view[1] - shot.view[0]) * min(number / last, 1.0)


def crop(strip: Float, left: float, width: int) -> Float:
    """Columns left…left+width of a strip; a part of a column is blended, so pans are smooth."""
    whole = min(int(left), strip.shape[1] - width)
    part = np.float32(left - whole)
    near = strip[:, whole : whole + width].copy()
    if part > 0 and whole + width < strip.shape[1]:
        near += part * (strip[:, whole + 1 : whole + 1 + width] - near)
    return near


def draw_thing(canvas: Float, thing: Thing, time: float, left: float) -> None:
    """Blend one object into the canvas, touching only the pixels around it."""
    H, W, _ = canvas.shape
    x, y, _, _ = thing.body.at(time)
    radius = thing.body.radius * H
    if thing.body.enters > 0:
        radius *= min(1.0, (time - thing.body.enters) / POP + 0.2)
    column, row = x * H - left, (CEILING - y) * H
    top, bottom = max(int(row - radius) - 1, 0), min(int(row + radius) + 3, H)
    start, end = max(int(column - radius) - 1, 0), min(int(column + radius) + 3, W)
    if top >= bottom or start >= end:
        return
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - row)
    columns = np.arange(start, end, dtype=np.float32)[None] + np.float32(0.5 - column)
    alpha = np.clip(0.5 - DISTANCE[thing.shape](columns, rows, radius), 0, 1)[..., None]
    patch = canvas[top:bottom, start:end]
    patch += alpha * (np.array(RGB[thing.colour], np.float32) - patch)


def ball(x: Float, y: Float, r: float) -> Float:
    """Signed distance to a disc of radius r."""
    return np.hypot(x, y) - np.float32(r)


def square(x: Float, y: Float, r: float) -> Float:
    """Signed distance to a square whose half side is r, so that it stands on the floor."""
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(r)


def polygon(x: Float, y: Float, corners: list[tuple[float, float]]) -> Float:
    """Signed distance to a closed polygon (even-odd inside, nearest edge outside)."""
    nearest = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf, np.float32)
    inside = np.zeros(nearest.shape, bool)
    for (ax, ay), (bx, by) in pairwise([*corners, corners[0]]):
        ex, ey = bx - ax, by - ay
        along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - along * ex, y - ay - along * ey))
        if ey:
            inside ^= ((y < ay) != (y < by)) & (x < ax + (y - ay) * ex / ey)
    return np.where(inside, -nearest, nearest).astype(np.float32)


def triangle(x: Float, y: Float, r: float) -> Float:
    """Signed distance to a triangle that stands on the floor."""
    return polygon(x, y, [(-r, r), (r, r), (0.0, -r)])


def star(x: Float, y: Float, r: float) -> Float:
    """Signed distance to a five-pointed star whose lower points stand on the floor."""
    angles = np.pi * np.arange(10) / 5
    reach = np.where(np.arange(10) % 2, 0.48, 1.0) * r * 1.1  # lower points at 0.89 r: lift
    tip = [
        (float(a), float(b))
        for a, b in zip(reach * np.sin(angles), -reach * np.cos(angles), strict=True)
    ]
    drop = r - max(b for _, b in tip)
    return polygon(x, y, [(a, b + drop) for a, b in tip])


DISTANCE: dict[str, Distance] = {"ball": ball, "square": square, "triangle": triangle, "star": star}


def draw_backdrop(shot: Shot, H: int, W: int) -> Float:
    """Background and floor of the whole world of a shot, float32 [H,width,3] in 0…255."""
    rng = np.random.default_rng(shot.seed)
    width = max(W, int(np.ceil(shot.width * H)) + 1) if shot.width * H > W + 0.5 else W
    tone = rng.uniform(70, 130) + rng.uniform(-12, 12, 3)
    back = np.broadcast_to(tone.astype(np.float32), (H, width, 3)).copy()
    if shot.background == "gradient":
        ramp = np.linspace(-45, 45, H, dtype=np.float32) * np.float32(rng.choice([-1, 1]))
        back += ramp[:, None, None]
    elif shot.background == "stripes":
        pitch = float(rng.uniform(0.12, 0.3)) * H
        back += 18 * np.sin(np.arange(width, dtype=np.float32) * 2 * np.pi / pitch)[None, :, None]
    elif shot.background == "texture":
        back += sum((texture(rng, H, width, cells) for cells in (3, 7, 17)), np.zeros(1))[..., None]
    edge = round(CEILING * H)
    back[edge:] = back[edge:] * np.float32(0.5)
    return np.clip(back, 0, 255)


def texture(rng: np.random.Generator, H: int, width: int, cells: int) -> Float:
    """Smooth noise with `cells` knots a picture height; finer noise is weaker."""
    knots = rng.normal(size=(cells + 2, int(np.ceil(width / H * cells)) + 2)).astype(np.float32)
    rows, columns = np.arange(H) * cells / H, np.arange(width) * cells / H
    r, c = rows.astype(int), columns.astype(int)
    fr, fc = ease(rows - r)[:, None], ease(columns - c)[None]
    upper = knots[r][:, c] * (1 - fc) + knots[r][:, c + 1] * fc
    lower = knots[r + 1][:, c] * (1 - fc) + knots[r + 1][:, c + 1] * fc
    return (40 / np.sqrt(cells) * (upper * (1 - fr) + lower * fr)).astype(np.float32)


def ease(x: NDArray[np.float64]) -> Float:
    """3x² − 2x³: a step without corners."""
    return (x * x * (3 - 2 * x)).astype(np.float32)


def draw_occluder(shot: Shot, width: int, H: int) -> Float | None:
    """Opacity of a pillar in front of everything, [H,width,1], or None."""
    if shot.occluder is None:
        return None
    columns = np.arange(width, dtype=np.float32) + 0.5
    left, right = (edge * H for edge in shot.occluder)
    alpha = np.clip(np.minimum(columns - left, right - columns) + 0.5, 0, 1)
    return np.broadcast_to(alpha[None, :, None], (H, width, 1)).copy()
