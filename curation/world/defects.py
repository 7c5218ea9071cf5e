"""Plant known defects in a film, so that filters can be held to the truth."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.files import atomic
from curation.world.config import WorldConfig
from curation.world.picture_defects import PICTURE
from curation.world.sound_defects import SOUND, fitted

FROZEN = 0.6  # share of the film during which the picture stands still
SEEDED = {*PICTURE, *SOUND, "drops"} - {"letterbox", "overlay"}
COPIES = ("duplicate", "reencode")  # defects that repeat an earlier film
DROPPED = 0.15  # share of the frames that a film with `drops` lacks
OTHERS = 32  # how far ahead the film lies whose sound `swap` takes
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
    if kind == "swap":
        return {"kind": kind, "of": index + 1 + int(rng.integers(OTHERS))}
    if kind in SEEDED:
        return {"kind": kind, "seed": int(rng.integers(1 << 31))}
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
    """The film with a defect of its content; adds the resulting numbers to `defect`."""
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
    if kind == "drops":
        defect["frames"] = dropped(len(pixels), defect["seed"])
    if kind in PICTURE:
        return PICTURE[kind](defect, pixels), samples
    if kind in SOUND:
        return pixels, SOUND[kind](defect, samples, rate)
    return pixels, samples


def dropped(frames: int, seed: int) -> list[int]:
    """Numbers of the frames that a film lacks, never the first or the last, rising."""
    rng = np.random.default_rng(seed)
    count = min(max(2, round(DROPPED * frames)), max(0, frames - 2))
    return sorted(int(n) + 1 for n in rng.choice(max(0, frames - 2), count, replace=False))


def swapped(samples: Samples, other: Samples) -> Samples:
    """The other film's sound in the shape of this one's."""
    return fitted(other, samples.shape[1])


def shift(samples: Samples, by: int) -> Samples:
    """Sound later by `by` samples (earlier when negative), silence where nothing is left."""
    moved = np.zeros_like(samples)
    if by >= 0:
        moved[:, by:] = samples[:, : samples.shape[1] - by]
    else:
        moved[:, :by] = samples[:, -by:]
    return moved


def truncate(path: Path, keep: float) -> None:
    """Keep the first share of a file's bytes; the index at its front still promises the rest."""
    data = path.read_bytes()
    with atomic(path) as temp:
        temp.write_bytes(data[: round(len(data) * keep)])
