"""Our training stream against webdataset's own loader, on the same shards in the same process.

Both deliver batches of decoded tensors from verified, cached files: ours in the planned global
order with shapes and values checked, webdataset in tar order through its plain reader, json and
safetensors decoded, no shuffle, no check: the least it can do. Runs alternate; the ratio is of
medians of samples a second.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import webdataset

from benchmarks.random_shards import make_set
from pipelines.stream import Stream

AIM = 1.0
BATCH = 16
# 32 px clips of the demo's length, and 256 px clips of 2 s: 20 kB and 0.4 MB a sample.
SIZES = {"small": {"size": 32, "text_dim": 64}, "large": {"size": 256, "text_dim": 384}}


def ours(folder: Path, samples: int) -> Iterator[Any]:
    """Batches of the stream."""
    stream = Stream(folder, seed=0, global_batch=BATCH)
    yield from islice((batch for _, batch in stream.batches()), samples // BATCH)
    stream.reader.close()


def peer(folder: Path, samples: int) -> Iterator[Any]:
    """Batches of webdataset: its reader, our members decoded, its batching."""
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    data = webdataset.WebDataset(shards, shardshuffle=False).map(decode)
    data = data.batched(BATCH, collation_fn=list, partial=False)
    loader = webdataset.WebLoader(data, batch_size=None, num_workers=0)
    yield from islice(loader, samples // BATCH)


def decode(sample: dict[str, Any]) -> dict[str, Any]:
    """The members of a sample as what a training step needs."""
    tensors = safetensors.torch.load(sample["safetensors"])
    return {"info": json.loads(sample["json"]), **tensors}


def rate(walk: Callable[[Path, int], Iterator[Any]], folder: Path, samples: int) -> float:
    """Samples a second of one pass."""
    begun = time.perf_counter()
    batches = sum(1 for _ in walk(folder, samples))
    return batches * BATCH / (time.perf_counter() - begun)


def compare(name: str, clips: int, runs: int, folder: Path) -> tuple[float, float]:
    """Median samples a second of (ours, webdataset), alternating; the first pass of each warms."""
    make_set(folder, {17: clips}, channels=16, per_shard=64, **SIZES[name])
    for walk in (ours, peer):
        rate(walk, folder, clips)
    pairs = [(rate(ours, folder, clips), rate(peer, folder, clips)) for _ in range(runs)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    size = sum(path.stat().st_size for path in folder.glob("*.tar")) / clips
    print(
        f"{name}: {size / 1e3:.0f} kB a sample, ours {mine:.0f} samples/s "
        f"({mine * size / 1e6:.0f} MB/s), webdataset {theirs:.0f}, ratio {mine / theirs:.2f}"
    )
    return mine, theirs


def main() -> None:
    """Measure both sizes; the ratio reported is the worse one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples and runs, < 50 s")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    found = {}
    for name, clips in (("small", 512 if quick else 4096), ("large", 256 if quick else 1024)):
        with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
            found[name] = compare(name, clips, 5 if quick else 15, Path(folder))
    mine, theirs = min(found.values(), key=lambda pair: pair[0] / pair[1])
    result = {
        "name": "stream",
        "ratio": round(mine / theirs, 3),
        "aim": AIM,
        "ours": round(mine, 1),
        "peer": round(theirs, 1),
        "unit": "samples/s",
        "versions": {name: version(name) for name in ("webdataset", "torch", "safetensors")},
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
