"""Which latents of a picture a task keeps, and how a mask of pixels becomes one of latents.

SkyReels-V4 §3.2 has the masks of text, image, extension, start and end, and editing; how training
draws them, and that a latent is kept only where all of its pixels are, are choices of ours.

Letters: T video latents, h w latent rows and columns, F frames, H W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.conditions import Task
from model.geometry import Geometry
from model.noise import Draw

MOST_KEYFRAMES = 4
BOX = (0.25, 0.75)  # sides of an inpainted box, in shares of the picture's
INNER = (0.4, 0.8)  # sides of what an outpainting keeps


def draw_keep(task: Task, shape: Sequence[int], draw: Draw) -> Tensor:
    """Mask [1,T,h,w] of what a training sample of `task` keeps; shape is (T, h, w).

    Every task but VIDEO_TO_AUDIO leaves something to be made.
    """
    T = shape[0]
    match task:
        case Task.VIDEO_TO_AUDIO:
            return torch.ones(1, *shape)
        case Task.IMAGE_TO_AV | Task.EXTEND:
            return keep_mask(draw_prefix(task, T, draw), shape)
        case Task.EXTEND_BACK:
            return keep_mask(draw_prefix(Task.EXTEND, T, draw), shape).flip(1)
        case Task.FIRST_LAST:
            return keep_frames([0, T - 1] if T > 2 else [0] * (T - 1), shape)
        case Task.KEYFRAMES:
            return keep_frames(draw_keyframes(T, draw), shape)
        case Task.INPAINT:
            return 1 - draw_hole(shape, draw)
        case Task.OUTPAINT:
            inner = box(shape, *(draw_side(draw, axis, n, INNER) for axis, n in sides(shape)))
            return inner * (not inner.all())  # a lone latent is all to be made
        case _:
            return keep_mask(0, shape)


def draw_prefix(task: Task, latents: int, draw: Draw) -> int:
    """How many of T latents a training sample of `task` keeps; extension draws 1..T-1 evenly."""
    if task is Task.TEXT_TO_AV:
        return 0
    if task is Task.IMAGE_TO_AV or latents <= 2:
        return min(1, latents - 1)
    return 1 + int(draw.uniform("prefix") * (latents - 1))


def keep_mask(prefix: int, shape: Sequence[int]) -> Tensor:
    """Mask [1,T,h,w] that keeps the first `prefix` of T latents; shape is (T, h, w)."""
    T = shape[0]
    if not 0 <= prefix <= T:
        raise ValueError(f"prefix={prefix} must be between 0 and the clip's {T} latent frames")
    return keep_frames(range(prefix), shape)


def keep_frames(latents: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Mask [1,T,h,w] that keeps whole latents by their index."""
    mask = torch.zeros(1, *shape)
    mask[:, list(latents)] = 1
    return mask


def draw_keyframes(latents: int, draw: Draw) -> list[int]:
    """One to MOST_KEYFRAMES latents, never all."""
    most = min(MOST_KEYFRAMES, latents - 1)
    if most < 1:
        return []
    count = 1 + int(draw.uniform("keyframes") * most)
    chosen = draw.generator("which keyframes").choice(latents, count, replace=False)
    return sorted(int(index) for index in chosen)


def draw_hole(shape: Sequence[int], draw: Draw) -> Tensor:
    """Mask [1,T,h,w] of a box to be made anew: half of them move, half last all the time."""
    T = shape[0]
    start = [draw_side(draw, axis, n, BOX) for axis, n in sides(shape)]
    end = start
    if draw.uniform("moves") < 0.5:
        end = [
            moved(span, n, draw.uniform(f"{axis} end"))
            for span, (axis, n) in zip(start, sides(shape), strict=True)
        ]
    first, last = 0, T
    if T > 1 and draw.uniform("lasts") < 0.5:
        first = int(draw.uniform("from") * T)
        last = first + 1 + int(draw.uniform("until") * (T - first))
    hole = torch.zeros(1, *shape)
    for index in range(first, last):
        share = index / max(1, T - 1)
        spans = [between(a, b, share) for a, b in zip(start, end, strict=True)]
        hole[:, index] = box((1, *shape[1:]), *spans)[:, 0]
    return hole


def sides(shape: Sequence[int]) -> list[tuple[str, int]]:
    """The two axes of a picture with their lengths in latents."""
    return [("rows", shape[1]), ("columns", shape[2])]


def draw_side(draw: Draw, axis: str, length: int, shares: tuple[float, float]) -> tuple[int, int]:
    """First and last (excluded) latent of a box along an axis: at least one, never all of many."""
    share = shares[0] + draw.uniform(f"{axis} size") * (shares[1] - shares[0])
    size = min(max(1, round(share * length)), max(1, length - 1))
    return moved((0, size), length, draw.uniform(f"{axis} start"))


def moved(span: tuple[int, int], length: int, u: float) -> tuple[int, int]:
    """The span at another place of the axis."""
    size = span[1] - span[0]
    start = int(u * (length - size + 1))
    return start, start + size


def between(a: tuple[int, int], b: tuple[int, int], share: float) -> tuple[int, int]:
    """A span on its way from a to b."""
    start = round(a[0] + share * (b[0] - a[0]))
    return start, start + a[1] - a[0]


def box(shape: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """Mask [1,T,h,w] of a box at rest."""
    mask = torch.zeros(1, *shape)
    mask[:, :, rows[0] : rows[1], columns[0] : columns[1]] = 1
    return mask


def pool_keep(keep: Tensor, geometry: Geometry) -> Tensor:
    """Mask [1,T,h,w] of latents from one of pixels [F,H,W] bool: kept where all pixels are.

    The first latent is one frame, each other `video.time` of them. Raises ValueError for a mask of
    another size.
    """
    g = geometry
    wanted = (g.frames, g.height, g.width)
    if tuple(keep.shape) != wanted:
        raise ValueError(f"a mask of {tuple(keep.shape)} does not fit a clip of {wanted}")
    _, T, h, w = g.video_shape
    step = g.video.space
    known = keep.reshape(g.frames, h, step, w, step).all(dim=4).all(dim=2)  # [F,h,w]
    rest = known[1:].reshape(T - 1, g.video.time, h, w).all(dim=1)
    return torch.cat([known[:1], rest])[None].float()
