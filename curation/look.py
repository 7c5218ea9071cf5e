"""What only the film's own pixels show: focus, noise, coding blocks, lettering. One look a clip.

The scan decodes at low resolution, where a 2 px blur and the codec's 8x8 grid are gone. So one
picture a clip, a keyframe where there is one because it costs one decode, is read at full size.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # [H,W,3]
Luma = NDArray[np.float32]  # [H,W]

AREA = (720, 1280)  # rows and columns at the centre that are measured: bounds the cost
REBLUR = 1.0  # pixels
EDGES = 0.02  # share of the pixels that count as the strongest edges
SHARPEST = 25  # percentile of their blur
EDGE = 4.0  # levels a pixel after re-blurring: a weaker edge is coding noise
BLOCK = 16
CORNER = 4.0  # levels: what a good codec leaves stays below
FEW_CELLS = 8
MOVED = 2 / 3  # weight of votes for a grid that does not begin at the picture's corner
TEXT_SIDE = 360  # pixels of the short side on which lettering is looked for
GAP = 1.5  # letter heights between two letters of a line
STROKE = 55  # levels between a letter's stroke and what is beside it


def look(pixels: Pixels, cut: tuple[int, int] = (0, 0)) -> dict[str, float | None]:
    """Scores of one full-size picture [H,W,3]; `cut` rows and columns of bars are already off."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    top, left = (max(0, (n - most) // 2) for n, most in zip(luma.shape, AREA, strict=True))
    area = luma[top : top + AREA[0], left : left + AREA[1]].astype(np.float32)
    return {
        "blur_px": blur(area),
        "noise": noise(area),
        "blocking": blocking(area[-(cut[0] + top) % 8 :, -(cut[1] + left) % 8 :]),
        "text_share": text_share(luma),
    }


def blur(luma: Luma) -> float | None:
    """Standard deviation in pixels of the blur on the sharpest edges; None without edges.

    Zhuo & Sim 2011 (Defocus map estimation from a single image): re-blurring an edge of blur s by r
    divides its gradient by R = sqrt((s^2 + r^2) / s^2), so s = r / sqrt(R^2 - 1).
    """
    before = gradient(luma)
    after = gradient(cv2.GaussianBlur(luma, (0, 0), REBLUR))
    limit = max(EDGE, float(np.quantile(after, 1 - EDGES)))
    # Only the ridge of an edge obeys the formula; beside it the ratio is smaller.
    ridge = (after >= limit) & (after >= cv2.dilate(after, np.ones((3, 3), np.uint8)) * 0.9)
    if np.count_nonzero(ridge) < 20:
        return None
    ratio = np.maximum(before[ridge] / after[ridge], 1.001)
    return float(np.percentile(REBLUR / np.sqrt(np.square(ratio) - 1), SHARPEST))


def gradient(luma: Luma) -> Luma:
    """Gradient length [H,W], levels a pixel."""
    x = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=1 / 8)
    y = cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=1 / 8)
    # Not cv2.magnitude: IPP rounds its last bit by where the result lies in memory.
    return np.sqrt(x * x + y * y)


def noise(luma: Luma) -> float | None:
    """Standard deviation of the noise in levels, on the calmest fifth of the picture.

    Immerkaer 1996 (Fast noise variance estimation) a block: the mask is blind to slopes and
    straight edges. Blocks near black or white are clipped and say nothing.
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    size = (luma.shape[1] // BLOCK, luma.shape[0] // BLOCK)
    if min(size) < 1:
        return None
    inside = luma[: size[1] * BLOCK, : size[0] * BLOCK]
    strength = np.abs(cv2.filter2D(inside, cv2.CV_32F, mask))
    mean = cv2.resize(strength, size, interpolation=cv2.INTER_AREA)
    level = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    usable = mean[(level > 30) & (level < 225)]
    if usable.size < 4:
        return None
    return float(np.sqrt(np.pi / 2) / 6 * np.percentile(usable, 20))


def blocking(luma: Luma) -> float | None:
    """Share of the 8x8 cells with detail whose sharpest corner lies on one grid of 8 pixels.

    Four coding blocks of different level meet in a corner: a mixed difference that stripes, edges
    and slopes do not have. Each cell votes for the place of its largest one, among 64; pictures of
    any other kind agree by chance (0.03 on large ones, up to 0.3 on 100 cells). The first cell is
    the picture's own, where a codec's grid begins; another grid, which a crop before the last
    coding leaves, counts MOVED. None on few cells.
    """
    mixed = np.abs(luma[1:, 1:] - luma[1:, :-1] - luma[:-1, 1:] + luma[:-1, :-1])
    rows, columns = mixed.shape[0] // 8, mixed.shape[1] // 8
    cells = mixed[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8)
    cells = cells.transpose(0, 2, 1, 3).reshape(-1, 64)
    cells = cells[cells.max(axis=1, initial=0.0) > CORNER]
    if len(cells) < FEW_CELLS:
        return None
    votes = np.bincount(cells.argmax(axis=1), minlength=64) / len(cells)
    return float(max(votes[63], MOVED * votes[:63].max()))


def text_share(luma: NDArray[np.uint8]) -> float:
    """Share of the picture under lines of lettering, a cheap guess without reading it.

    Thin strokes that stand out from both sides (top and black hat), whose pieces are as high as
    letters, stand in a row and are alike: four or more make a line.
    """
    scale = TEXT_SIDE / min(luma.shape)
    if scale < 1:
        luma = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = luma.shape
    side = max(5, round(0.04 * height)) | 1
    kernel = np.ones((side, side), np.uint8)
    area = 0.0
    for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        strokes = cv2.compare(cv2.morphologyEx(luma, kind, kernel), STROKE, cv2.CMP_GT)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
        area = max(area, lines_area(boxes[1:], height))
    return area / (height * width)


def lines_area(boxes: NDArray[np.int32], height: int) -> float:
    """Pixels under rows of letters; boxes are (left, top, width, height, pixels) of the pieces."""
    tall, wide = boxes[:, 3], boxes[:, 2]
    letters = boxes[(tall >= max(5, 0.015 * height)) & (tall <= 0.2 * height) & (wide <= 3 * tall)]
    letters = letters[np.argsort(letters[:, 0])]
    boxes_left = [tuple(int(v) for v in box[:4]) for box in letters]
    reach = GAP * 0.2 * height  # no letter further to the right can follow
    area = 0.0
    while boxes_left:
        line, rest = [boxes_left[0]], []
        for place, box in enumerate(boxes_left[1:], 1):
            if box[0] - (line[-1][0] + line[-1][2]) > reach:
                rest += boxes_left[place:]
                break
            if follows(line[-1], box):
                line.append(box)
            else:
                rest.append(box)
        boxes_left = rest
        if len(line) >= 4:
            top = min(b[1] for b in line)
            bottom = max(b[1] + b[3] for b in line)
            area += (line[-1][0] + line[-1][2] - line[0][0]) * (bottom - top)
    return area


def follows(last: tuple[int, ...], box: tuple[int, ...]) -> bool:
    """Whether a piece may be the next letter of a line: near, on its height, of its size."""
    tall = max(last[3], box[3])
    alike = min(last[3], box[3]) >= 0.5 * tall
    level = abs((last[1] + last[3] / 2) - (box[1] + box[3] / 2)) <= 0.35 * tall
    gap = box[0] - (last[0] + last[2])
    return alike and level and -0.5 * tall <= gap <= GAP * tall
