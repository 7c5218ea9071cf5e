"""Offsets between picture and sound, measured against planted ones, at several frame rates.

The sound of generated films is shifted by known times, or replaced by another film's; picture and
sound go through the scan's own decoder and functions. `--quick` ends within a minute.
"""

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from curation.film import stretches
from curation.media import MediaReader
from curation.sight import Sight, Track
from curation.sync import CONFIDENT, LEAST_FPS, offset_scores
from curation.world.config import WorldConfig
from curation.world.defects import shift
from curation.world.films import film_path, write_film

AIM = 0.95
RATES = (8.0, 10.0, 12.0, 15.0, 16.0, 24.0)
SHIFTS = (0, 40, -40, 80, -80, 120, -120, 250, -250, 500, -500)  # ms
SWAPS = 5  # other films whose sound each film is given
SIDE = 96
SEED = 909  # constants were chosen on seed 5
Row = dict[str, Any]
Pair = tuple[Track, np.ndarray, int]  # picture, sound [channels,N], its rate


def world(fps: float, seed: int) -> WorldConfig:
    """Films of five seconds in which one to three things move, with music under half of them."""
    return WorldConfig(
        seed=seed,
        fps=fps,
        height=96,
        width=128,
        seconds=(5, 5),
        objects=(1, 3),
        motions=("fall", "throw", "collide"),
        shapes=("ball", "square", "triangle", "star"),
        radius=(0.08, 0.16),
        backgrounds=("plain", "gradient", "texture"),
        pan=0.2,
        music=0.5,
        channels=2,
    )


def measured(task: tuple[float, int, int, str]) -> Pair:
    """Make a film, decode it as the scan does, and measure its picture."""
    fps, seed, index, folder = task
    place = Path(folder) / f"{fps:g}"
    place.mkdir(exist_ok=True)
    write_film(world(fps, seed), place, index)
    path = str(film_path(place, index))
    with MediaReader() as reader:
        probe = reader.probe(path)
        sight = Sight(probe.seconds)
        for times, pixels in stretches(reader, path, probe, SIDE):
            sight.feed(times, pixels)
        sound = reader.sound(path, 16_000)
    return sight.track(), sound.samples, sound.rate


def scored(track: Track, samples: np.ndarray, rate: int) -> Row:
    """Sync scores of a picture with a sound."""
    return offset_scores(track, samples.mean(axis=0, dtype=np.float64), rate, 0.0)


def rows(pairs: list[Pair]) -> Iterator[Row]:
    """Scores of every film under every shift, and of every film with other films' sounds."""
    for (track, samples, rate), by in product(pairs, SHIFTS):
        yield scored(track, shift(samples, round(by * rate / 1000)), rate) | {"planted": by}
    for number, (track, samples, rate) in enumerate(pairs):
        for step in range(1, min(SWAPS + 1, len(pairs))):
            other = pairs[(number + step) % len(pairs)][1]
            part = np.zeros_like(samples)
            length = min(samples.shape[1], other.shape[1])
            part[:, :length] = other[:, :length]
            yield scored(track, part, rate) | {"planted": None}


def ranking(true: np.ndarray, swapped: np.ndarray) -> float:
    """Area under the ROC curve: how often a true pair stands above a swapped one."""
    above = (true[:, None] > swapped[None]).mean() + 0.5 * (true[:, None] == swapped[None]).mean()
    return float(above)


def values(found: list[Row], name: str) -> np.ndarray:
    """A score of rows; null is the lowest value, because such a pair cannot be recommended."""
    return np.array([row.get(name, -10.0) for row in found], dtype=float)


def report(fps: float, found: list[Row]) -> tuple[float, float]:
    """Print a rate's table; returns the share of confident offsets within a frame, and the AUC."""
    frame = 1000 / fps
    print(f"\n{fps:g} frames a second: one frame is {frame:.1f} ms")
    print("| planted ms | films | null | confident | median error ms | within one frame | of all |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    right: list[bool] = []
    for size in sorted({abs(by) for by in SHIFTS}):
        here = [row for row in found if row["planted"] is not None and abs(row["planted"]) == size]
        there = [row for row in here if row.get("sync_offset_ms") is not None]
        sure = [row for row in there if row["sync_confidence"] >= CONFIDENT]
        error = np.array([abs(row["sync_offset_ms"] - row["planted"]) for row in sure])
        every = np.array([abs(row["sync_offset_ms"] - row["planted"]) for row in there])
        right += (error <= frame + 0.5).tolist()
        print(
            f"| {'±' if size else ''}{size} | {len(here)} | {len(here) - len(there)} | {len(sure)} "
            f"| {np.median(error) if len(error) else float('nan'):.0f} "
            f"| {(error <= frame + 0.5).mean() if len(error) else float('nan'):.2f} "
            f"| {(every <= frame + 0.5).mean() if len(every) else float('nan'):.2f} |"
        )
    true = [row for row in found if row["planted"] == 0]
    swapped = [row for row in found if row["planted"] is None]
    known = [[r for r in group if r.get("sync_match") is not None] for group in (true, swapped)]
    auc = {
        name: (
            ranking(*(values(group, name) for group in (true, swapped))),
            ranking(*(values(group, name) for group in known)),
        )
        for name in ("sync_match", "sync_confidence")
    }
    for name, (whole, part) in auc.items():
        print(f"true above swapped by {name}: {whole:.3f} of all pairs, {part:.3f} without nulls")
    return float(np.mean(right)) if right else 0.0, auc["sync_match"][1]


def main() -> None:
    """Print a table a frame rate and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer films, within a minute")
    parser.add_argument("--seed", type=int, default=SEED, help="of the generated films")
    asked = parser.parse_args()
    films, rates = (5, RATES[-2:]) if asked.quick else (16, RATES)
    workers = min(4, os.cpu_count() or 1)
    begun = time.monotonic()
    shares, areas = [], []
    with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(workers) as pool:
            tasks = [(fps, asked.seed, i, folder) for fps in rates for i in range(films)]
            pairs = pool.map(measured, tasks, chunksize=2)
        for number, fps in enumerate(rates):
            mine = pairs[number * films : (number + 1) * films]
            share, area = report(fps, list(rows(mine)))
            if fps >= LEAST_FPS:
                shares.append(share)
                areas.append(area)
    print(f"\n{len(tasks)} films in {time.monotonic() - begun:.0f} s")
    result = {
        "name": "sync",
        "ratio": round(min(shares), 3),
        "aim": AIM,
        "ours": round(min(shares), 3),
        "peer": round(min(areas), 3),
        "unit": "share of confident offsets within one frame (ours), AUC true above swapped "
        f"(peer), from {LEAST_FPS:g} frames a second on",
        "versions": {name: version(name) for name in ("scipy", "opencv-python-headless")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
