"""Scores of a clip from what was measured on each of its frames (sight.py)."""

import numpy as np

from curation.colour import NAMES, main_colours
from curation.likeness import clip_hash
from curation.scores import CROP
from curation.sight import REPEAT, Track

LIT = 0.005  # share of pixels above black from which on a frame shows something
LINE = 0.5  # share of a bar's length beyond which the picture is brighter
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


def bars(track: Track) -> Box:
    """Shares of the picture under black bars at top, bottom, left and right.

    Bars are dark borders that no frame of the clip lights up and that end in a line; frames without
    any light say nothing. They come in pairs of like size; a dark floor does not, and what is dark
    around a lit thing ends nowhere.
    """
    seen = track["lit"] >= LIT
    if not seen.any():
        return 0.0, 0.0, 0.0, 0.0
    top, bottom, west, east = (
        bar(track[side][seen], track[f"{side}_edge"][seen])
        for side in ("top", "bottom", "west", "east")
    )
    if abs(top - bottom) > PAIR or not (top and bottom):
        top = bottom = 0.0
    if abs(west - east) > PAIR or not (west and east):
        west = east = 0.0
    return top, bottom, west, east


def bar(shares: np.ndarray, edges: np.ndarray) -> float:
    """The narrowest of a side's dark borders [N]; 0 where it does not end in a line."""
    share = float(shares.min())
    return share if np.median(edges[shares == share]) >= LINE else 0.0


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
