"""Scores of a clip from what was measured on each of its frames (sight.py)."""

import numpy as np

from curation.colour import NAMES, main_colours
from curation.likeness import clip_hash
from curation.scores import CROP
from curation.shots import runs
from curation.sight import REPEAT, Track

ABRUPT = 4 * REPEAT  # change of a frame that is in full motion
LIT = 0.005  # share of pixels above black from which on a frame shows something
PAIR = 0.05  # by how much two bars of a pair may differ
REGULAR = 0.25  # of the usual step: what a step may differ from it
ROUNDED_S = 0.0021  # containers round times to 1 ms, so steps by as much as 2

Scores = dict[str, float | str | None]
Box = tuple[float, float, float, float]  # shares under bars: top, bottom, left, right


def picture_scores(track: Track, height: int, width: int) -> Scores:
    """Scores of a clip from the measurements of its frames, taken at height x width pixels."""
    if not len(track.times):
        return {}
    # The first frame has no frame before it.
    pairs = Track(track.times[1:], track.values[1:], track.hashes[1:])
    lit = track["lit"]
    colours = np.stack([track[name] for name in NAMES], axis=1)
    box = bars(track)
    shown = shown_share(box)
    scores: Scores = {
        "colours": main_colours(colours.mean(axis=0)),
        "phash": clip_hash(track.hashes),
        "brightness": float(track["brightness"].mean()),
        "contrast": float(np.median(track["contrast"])),
        "sharpness": float(np.median(track["sharpness"])),
        "black_share": float((lit < LIT).mean()),
        "dark_share": float(np.clip((shown - lit) / shown, 0, 1).mean()),
        "blown_share": float(np.clip(track["blown"] / shown, 0, 1).mean()),
        "bars": 1.0 - shown,
        **crop(box, height, width),
    }
    if not len(pairs.times):
        return scores
    return (
        scores
        | motion_scores(pairs, np.diff(track.times), height)
        | {
            "flicker": float(np.abs(np.diff(track["brightness"])).mean()),
        }
    )


def motion_scores(pairs: Track, step: np.ndarray, height: int) -> Scores:
    """What moves, and whether frames come at even times; `step` [N] seconds before each frame."""
    speed = pairs["flow"] / height / step
    camera = np.hypot(pairs["camera_x"], pairs["camera_y"]) / height / step
    moving = pairs["change"] >= REPEAT
    usual = float(np.median(step))
    return {
        "motion": float(np.median(speed[moving])) if moving.any() else 0.0,
        "camera_motion": float(np.median(camera[moving])) if moving.any() else 0.0,
        "subject_share": float(np.median(pairs["subject"][moving])) if moving.any() else 0.0,
        "frozen_share": float((~moving).mean()),
        "irregular_share": float((np.abs(step - usual) > max(REGULAR * usual, ROUNDED_S)).mean()),
        "largest_gap_ms": float(step.max() * 1000),
    }


def stuck_s(shot: Track, start: float) -> float:
    """Seconds from `start` on in the longest stretch of repeats that began in full motion, or the
    whole of a shot in which nothing ever moves.

    `shot` holds the clip's shot up to the clip's end: whether a picture stuck may show before the
    clip. Things that come to rest move less and less before (under ABRUPT on the last frame).
    """
    change = shot["change"][1:]  # the first is the cut
    longest = 0.0
    for first, last in runs(change < REPEAT):
        never = last - first + 1 == len(change)
        if never or (first and change[first - 1] >= ABRUPT):
            longest = max(longest, shot.times[last + 1] - max(start, shot.times[first]))
    return float(longest)


def bars(track: Track) -> Box:
    """Shares of the picture under black bars at top, bottom, left and right.

    Bars are dark borders that no frame of the clip lights up; frames without any light say nothing.
    They come in pairs of like size; a dark floor does not.
    """
    seen = track["lit"] >= LIT
    if not seen.any():
        return 0.0, 0.0, 0.0, 0.0
    top, bottom, west, east = (
        float(track[name][seen].min()) for name in ("top", "bottom", "west", "east")
    )
    if abs(top - bottom) > PAIR:
        top = bottom = 0.0
    if abs(west - east) > PAIR:
        west = east = 0.0
    return top, bottom, west, east


def crop(box: Box, height: int, width: int) -> Scores:
    """Shares to cut off at top, bottom, left and right: a bar and the row where it mixes with the
    picture, 0 where there is no bar.
    """
    rows = [1 / height if bar else 0.0 for bar in box[:2]]
    columns = [1 / width if bar else 0.0 for bar in box[2:]]
    cut = [bar + edge for bar, edge in zip(box, rows + columns, strict=True)]
    return dict(zip(CROP, cut, strict=True))


def shown_share(box: Box) -> float:
    """Share of the picture that is not under bars; never 0."""
    top, bottom, left, right = box
    return max(1e-3, (1.0 - top - bottom) * (1.0 - left - right))
