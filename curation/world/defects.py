"""Plant known defects in a film, so that filters can be held to the truth."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.files import atomic
from curation.world.config import WorldConfig

BARS = 0.14  # share of the height of each black bar
FROZEN = 0.6  # share of the film during which the picture stands still
COPIES = ("duplicate", "reencode")  # defects that repeat an earlier film
TRIES = 64  # draws for a clean film to copy; where most are defective a copy may stay clean
STREAM_KEY = 7919  # keeps the draw of defects apart from the draw of scenes
Pixels = NDArray[np.uint8]
Samples = NDArray[np.float32]


def draw_defect(config: WorldConfig, index: int) -> dict[str, Any]:
    """The defect of film `index` with its numbers, or {}; a copy names the film it is `of`."""
    rng = np.random.default_rng([config.seed, index, STREAM_KEY])
    kind = pick(config, float(rng.random()))
    if kind == "shift":
        size = int(rng.integers(config.shift_ms[0], config.shift_ms[1] + 1))
        return {"kind": kind, "ms": size if rng.random() < 0.5 else -size}
    if kind == "freeze":
        return {"kind": kind, "from": round(float(rng.uniform(0, 1 - FROZEN)), 4), "share": FROZEN}
    if kind == "overlay":
        return {"kind": kind, "text": f"SAMPLE {int(rng.integers(1000, 9999))}"}
    if kind == "truncate":
        return {"kind": kind, "keep": round(float(rng.uniform(0.4, 0.8)), 4)}
    if kind in COPIES:
        tries = (int(rng.integers(index)) for _ in range(TRIES if index else 0))
        source = next((i for i in tries if not pick(config, first_draw(config, i))), None)
        return {} if source is None else {"kind": kind, "of": source}
    return {"kind": kind} if kind else {}


def first_draw(config: WorldConfig, index: int) -> float:
    """What decides the defect of film `index`, in 0…1."""
    return float(np.random.default_rng([config.seed, index, STREAM_KEY]).random())


def pick(config: WorldConfig, share: float) -> str:
    """The defect kind at a place of the unit interval, or '' behind all shares."""
    for kind, size in config.defects.model_dump().items():
        if share < size:
            return str(kind)
        share -= size
    return ""


def plant(
    defect: dict[str, Any], pixels: Pixels, samples: Samples, rate: int, fps: float
) -> tuple[Pixels, Samples]:
    """The film with a defect of its content; adds the resulting times to `defect`."""
    kind = defect["kind"]
    if kind == "silence":
        return pixels, np.zeros_like(samples)
    if kind == "shift":
        return pixels, shift(samples, round(defect["ms"] * rate / 1000))
    if kind == "freeze":
        first = int(defect["from"] * len(pixels))
        last = min(len(pixels), first + max(2, round(defect["share"] * len(pixels))))
        defect |= {"start": first / fps, "end": last / fps}
        still = pixels.copy()
        still[first:last] = pixels[first]
        return still, samples
    if kind == "letterbox":
        bar = max(2, round(BARS * pixels.shape[1]))
        defect |= {"top": bar, "bottom": bar}
        return letterbox(pixels, bar), samples
    if kind == "overlay":
        return overlay(pixels, defect["text"]), samples
    return pixels, samples


def shift(samples: Samples, by: int) -> Samples:
    """Sound later by `by` samples (earlier when negative), silence where nothing is left."""
    moved = np.zeros_like(samples)
    if by >= 0:
        moved[:, by:] = samples[:, : samples.shape[1] - by]
    else:
        moved[:, :by] = samples[:, -by:]
    return moved


def letterbox(pixels: Pixels, bar: int) -> Pixels:
    """The picture squeezed between two black bars of `bar` rows."""
    out = np.zeros_like(pixels)
    _, H, W, _ = pixels.shape
    for frame, source in zip(out, pixels, strict=True):
        frame[bar : H - bar] = cv2.resize(source, (W, H - 2 * bar), interpolation=cv2.INTER_AREA)
    return out


def overlay(pixels: Pixels, text: str) -> Pixels:
    """White text with a dark edge across the upper part of every frame."""
    out = pixels.copy()
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


def truncate(path: Path, keep: float) -> None:
    """Keep the first share of a file's bytes; the index at its front still promises the rest."""
    data = path.read_bytes()
    with atomic(path) as temp:
        temp.write_bytes(data[: round(len(data) * keep)])
