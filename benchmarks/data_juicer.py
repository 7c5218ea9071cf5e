"""CPU seconds of scores that Data-Juicer has too, ours against its operators, on the same clips.

Both give duration, size, aspect and motion (Farneback at 2 frames a second, its settings, the same
frames) of each clip. Its duration of sound is left out: that needs torchcodec and a torch of 5 GB,
and without them it fails each clip. The second line is the whole scan's measuring,
which has other and more scores: its own flow, faults of picture and sound, sync, repeats.
Data-Juicer has an environment of its own, made once in `venvs/data-juicer` (0.7 GB).
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
from functools import lru_cache
from importlib.metadata import version
from itertools import pairwise
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.scan import FPS, make_films
from curation.film import measure_film
from curation.media import MediaReader
from curation.scores import SCORES
from pipelines.cuts import windows
from pipelines.scan_config import ScanConfig, WindowConfig

AIM = 6.0
SECONDS, CLIPS, QUICK = 5, 60, 8
PEER = Path("venvs/data-juicer")
WANTED = (
    "py-data-juicer==1.6.1",
    "aiohttp",
    "av<14",
    "opencv-python-headless",
)
FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)  # scale, levels, window, iterations, poly n and sigma, flags
STEP = FPS // 2  # frames between those that motion looks at
SCAN = ScanConfig(window=WindowConfig(fps=FPS, min_s=1, max_s=SECONDS))


def environment() -> Path:
    """The peer's interpreter, installed if it is not there."""
    python = PEER / "bin" / "python"
    if not python.exists():
        print(f"installing Data-Juicer into {PEER}", file=sys.stderr)
        uv = Path(sys.executable).with_name("uv")
        for words in (
            ["venv", "--python", sys.executable, str(PEER)],
            ["pip", "install", "--python", str(python), *WANTED],
        ):
            subprocess.run([uv, *words, "--quiet"], check=True)  # noqa: S603 - our own words
    return python


def make_clips(folder: Path, count: int) -> list[dict[str, list[str]]]:
    """Clips that pan at speeds of their own, as its samples."""
    films = make_films(folder, count, SECONDS, speeds=(0, 1, 2, 3, 5, 8, 11, 16))
    return [{"videos": [str(film)]} for film in films]


def cpu() -> float:
    """CPU seconds of all processes that have ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peer(python: Path, samples: list[Any], folder: Path, workers: int) -> list[dict[str, Any]]:
    """Its scores of each clip. Raises RuntimeError where any is missing."""
    given, result = folder / "in.json", folder / "out.json"
    given.write_text(json.dumps(samples))
    child = Path(__file__).with_name("data_juicer_child.py")
    # -P: beside the child lies a file of the peer's name; a pool that cannot start tries forever
    command = [str(python), "-P", str(child), str(given), str(result), str(workers)]
    subprocess.run(command, check=True, timeout=60 + 20 * len(samples))  # noqa: S603
    rows: list[dict[str, Any]] = json.loads(result.read_text())
    if len(rows) != len(samples) or any(not all(row.values()) or len(row) < 5 for row in rows):
        raise RuntimeError(f"{len(rows)} rows of {len(samples)}, e.g. {rows[:1]}")
    return rows


@lru_cache(maxsize=1)
def reader() -> MediaReader:
    """A worker's own decoder, ended with it: what it used counts only then."""
    cv2.setNumThreads(1)
    made = MediaReader()
    Finalize(None, made.close, exitpriority=1)
    return made


def same_scores(path: str) -> dict[str, float]:
    """The scores that both have, of one clip."""
    probe = reader().probe(path)
    assert probe.video is not None
    count = round(probe.video.fps * probe.seconds)
    at = [0, 1, *range(STEP, count, STEP)]  # as it walks: its second frame is the film's second
    frames = reader().frames(path, times=[(i + 0.5) / probe.video.fps for i in at])
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames.pixels]
    motion = []
    for before, after in pairwise(grey):
        flow = cv2.calcOpticalFlowFarneback(before, after, np.empty(0), *FARNEBACK)
        motion.append(float(cv2.cartToPolar(flow[..., 0], flow[..., 1])[0].mean()))
    return {
        "video_duration": probe.seconds,
        "video_width": probe.video.width,
        "video_height": probe.video.height,
        "video_aspect_ratios": probe.video.width / probe.video.height,
        "video_motion_score": float(np.mean(motion)),
    }


def whole_scan(path: str) -> float:
    """The scan's motion score of one clip, measured with all others."""
    film = measure_film(
        reader(), path, path, SCAN, lambda a, b: windows(a, b, SCAN.window), FPS, None
    )
    return float(np.mean([row["motion"] for row in film.scores]))


def timed(work: Any, paths: list[str], workers: int) -> tuple[list[Any], float]:  # noqa: ANN401
    """Results of `work` on each path in `workers` processes, and their CPU seconds."""
    begun = cpu()
    pool = multiprocessing.get_context("spawn").Pool(workers)
    found = pool.map(work, paths, chunksize=1)
    pool.close()
    pool.join()
    return found, cpu() - begun


def main() -> None:
    """Print the second line and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} clips instead of {CLIPS}")
    count = QUICK if parser.parse_args().quick else CLIPS
    workers = min(2, os.cpu_count() or 1)
    python = environment()
    with tempfile.TemporaryDirectory(prefix="reelmill-") as name:
        samples = make_clips(Path(name), count)
        paths = [sample["videos"][0] for sample in samples]
        begun = cpu()
        theirs = peer(python, samples, Path(name), workers)
        their_s = cpu() - begun
        same, our_s = timed(same_scores, paths, workers)
        scan, scan_s = timed(whole_scan, paths, workers)
    motion = [row["video_motion_score"][0] for row in theirs]
    for row, own in zip(theirs, same, strict=True):
        for key in set(own) - {"video_motion_score", "video_duration"}:
            if abs(row[key][0] - own[key]) > 1e-3 * own[key]:
                raise RuntimeError(f"{key} is {row[key][0]} there and {own[key]} here")
    agree = float(np.corrcoef(motion, [row["video_motion_score"] for row in same])[0, 1])
    ranks = [np.argsort(np.argsort(x)) for x in (motion, scan)]
    rank = np.corrcoef(ranks[0], ranks[1])[0, 1]
    print(
        f"the whole scan, {len(SCORES)} scores: {scan_s:.1f} CPU s, {their_s / scan_s:.1f} times "
        f"fewer; rank correlation of its motion with Farneback's {rank:.3f}"
    )
    result = {
        "name": "data_juicer",
        "ratio": round(their_s / our_s, 2),
        "aim": AIM,
        "ours": round(our_s, 1),
        "peer": round(their_s, 1),
        "motion_correlation": round(agree, 4),
        "unit": f"CPU s for the same scores of {count} clips of {SECONDS} s, {workers} workers",
        "versions": {p: version(p) for p in ("av", "decord", "opencv-python-headless")}
        | {"py-data-juicer": WANTED[0].split("==")[1]},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
