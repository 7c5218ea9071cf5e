"""The scan of 10, 100 and 1,000 clips: what a clip costs, and the memory of the driver.

Each size is a scan of its own in a new process, timed from when every worker has finished one film
to the end of the whole scan, repeats and tables included: what starts once is the same for any
number. Ours is a clip of 1,000, the peer one of 100. Films are copies of a few with other bytes.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curation.world.config import WorldConfig
from curation.world.films import write_films

AIM = 1.10  # times the cost of a clip at a tenth of the size
MEMORY_AIM_MB = 100  # that the driver may grow by from 100 to 1,000 clips
SIZES, QUICK = (10, 100, 1_000), (10, 40, 160)
CLIPS = 2  # of a film
ORIGINALS = 5
WORLD = WorldConfig(films=ORIGINALS, height=96, width=128, fps=8, seconds=(4.5, 4.5), shots=(1, 1))


def copies(originals: list[Path], folder: Path, count: int) -> None:
    """`count` films with the pictures of `originals` in turn and bytes of their own."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}.mp4"
        shutil.copyfile(originals[number % len(originals)], path)
        with path.open("ab") as film:  # a box that players skip
            film.write((16).to_bytes(4) + b"free" + number.to_bytes(8))


def measure(films: str, ledger: str, workers: int) -> tuple[int, float, float]:
    """(clips, seconds a clip, MB of the driver at its peak) of a scan, in a process of its own."""
    from pipelines import cluster, measure  # noqa: PLC0415 - the parent needs no Ray
    from pipelines.ledger import Ledger  # noqa: PLC0415
    from pipelines.scan import scan  # noqa: PLC0415
    from pipelines.scan_config import ScanConfig, WindowConfig  # noqa: PLC0415

    window = WindowConfig(fps=8, min_s=2.0, max_s=2.2)
    config = ScanConfig(sources=[films], window=window, workers=workers, short_side=96)
    began = []
    measured = measure.measure_all

    def timed(*given: Any) -> Iterator[Any]:  # noqa: ANN401 - as measure_all
        for number, film in enumerate(measured(*given), 1):
            if number == workers:
                began.append(time.perf_counter())
            yield film

    measure.measure_all = timed  # type: ignore[assignment]
    cluster.start(workers)
    scan(config, Ledger(Path(ledger)))
    seconds = time.perf_counter() - began[0]
    clips = Ledger(Path(ledger)).clips(config.fingerprint()).num_rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return clips, seconds / (clips - workers * CLIPS), peak


def main() -> None:
    """Print a line for each size and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to 160 clips")
    sizes = QUICK if parser.parse_args().quick else SIZES
    workers = min(4, os.cpu_count() or 1)
    found = []
    with tempfile.TemporaryDirectory(prefix="reelmill-") as name:
        folder = Path(name)
        write_films(WORLD, folder / "originals")
        originals = sorted((folder / "originals").glob("*.mp4"))
        for size in sizes:
            films = folder / str(size)
            copies(originals, films, size // CLIPS)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                asked = (str(films), str(folder / f"ledger-{size}"), workers)
                found.append(pool.submit(measure, *asked).result())
            clips, seconds, peak = found[-1]
            if clips != size:
                raise RuntimeError(f"{clips} clips where {size} were to be found")
            print(f"{clips} clips: {seconds:.4f} s a clip, the driver's peak {peak:.0f} MB")
    (_, small, before), (_, large, after) = found[1:]
    result = {
        "name": "scan_scale",
        "ratio": round(large / small, 3),
        "aim": AIM,
        "ours": round(large, 4),
        "peer": round(small, 4),
        "unit": f"s a clip of 2.1 s, of {sizes[2]} against {sizes[1]} clips, {workers} workers",
        "driver_mb": round(after - before, 1),
        "driver_aim_mb": MEMORY_AIM_MB,
        "versions": {"ray": version("ray")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
