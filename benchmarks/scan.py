"""The whole scan against a bare decode of the same films: same decoder, size and cores, one run.

The scan also hashes, finds shots, measures every frame, decodes and measures the sound, and writes
the ledger. Both are timed in their steady state, from the moment when every worker has finished one
film, because starting Ray is the same few seconds for ten films and for ten million.
"""

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from curation.media_write import write_clip
from curation.sources import find_sources
from pipelines import cluster, hashing, measure
from pipelines.scan import new_row
from pipelines.scan_config import ScanConfig

AIM = 0.6
FPS, HEIGHT, WIDTH, RATE = 24, 360, 640, 48_000
SIDE = ScanConfig().short_side


def make_films(
    folder: Path, count: int, seconds: int, speeds: tuple[int, ...] = (2,)
) -> list[Path]:
    """Films with three shots each: pans over smooth pictures with detail and grain, and clicks;
    films in turn pan by `speeds` pixels a frame.

    As on real films (2 of 58 stretches of Big Buck Bunny) the shot net is asked seldom.
    """
    frames = FPS * seconds
    for number in range(count):
        rng = np.random.default_rng(number)
        pixels = np.empty((frames, HEIGHT, WIDTH, 3), np.uint8)
        for shot in range(3):
            wide = np.zeros((HEIGHT, WIDTH + 800, 3), np.float32)
            for side, level in ((120, 90), (40, 25), (12, 10)):  # as natural spectra fall
                low = rng.uniform(-level, level, (HEIGHT // side + 1, (WIDTH + 800) // side + 1, 3))
                wide += cv2.resize(low, wide.shape[1::-1], interpolation=cv2.INTER_CUBIC)
            wide += rng.normal(0, 4, wide.shape)
            wide = np.clip(wide + rng.integers(70, 185, 3), 0, 255).astype(np.uint8)
            for i in range(shot * frames // 3, (shot + 1) * frames // 3):
                at = speeds[number % len(speeds)] * i % 800
                pixels[i] = wide[:HEIGHT, at : at + WIDTH]
        sound = rng.normal(0, 0.05, (2, seconds * RATE)).astype(np.float32)
        sound[:, :: RATE // 2] = 0.9
        write_clip(folder / f"{number:03d}.mp4", pixels, FPS, sound, RATE)
    return sorted(folder.glob("*.mp4"))


def bare_decode(path: str) -> int:
    """Decode all frames of a film at scan size with decord; returns their number."""
    import decord  # noqa: PLC0415 - in the worker process

    width = round(WIDTH * SIDE / HEIGHT)
    reader = decord.VideoReader(path, decord.cpu(0), width=width, height=SIDE, num_threads=1)
    done = 0
    for first in range(0, len(reader), 64):
        done += len(reader.get_batch(range(first, min(len(reader), first + 64))).asnumpy())
    return done


def peer(films: list[Path], workers: int) -> float:
    """Frames a second of bare decoding in `workers` processes, each warmed by one film."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(bare_decode, [str(p) for p in films[:workers]], chunksize=1)
        begun = time.perf_counter()
        frames = sum(pool.imap_unordered(bare_decode, [str(p) for p in films[workers:]]))
        return frames / (time.perf_counter() - begun)


def ours(films: list[Path], workers: int) -> float:
    """Frames a second of the scan's measuring stage on Ray, after each worker's first film."""
    config = ScanConfig(sources=[str(films[0].parent)], workers=workers)
    rows = hashing.hash_all([new_row(s, "benchmark") for s in find_sources(config.sources)])
    begun, done = 0.0, 0
    for number, film in enumerate(measure.measure_all(config, rows), 1):
        if film["source"]["status"] != "ok":
            raise RuntimeError(f"the scan refused a film: {film['source']['detail']}")
        if number > workers:
            done += round(FPS * film["source"]["seconds"])
        elif number == workers:
            begun = time.perf_counter()
    return done / (time.perf_counter() - begun)


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within 50 s on 2 cores")
    quick = parser.parse_args().quick
    workers = min(4, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as name:
        films = make_films(Path(name), workers * (3 if quick else 9), 9 if quick else 12)
        cluster.start(workers)
        measured = ours(films, workers)
        bare = peer(films, workers)
    result = {
        "name": "scan",
        "ratio": round(measured / bare, 3),
        "aim": AIM,
        "ours": round(measured, 1),
        "peer": round(bare, 1),
        "unit": f"frames/s of {WIDTH}x{HEIGHT} at {SIDE} px, {workers} workers",
        "versions": {p: version(p) for p in ("ray", "decord", "opencv-python-headless")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
