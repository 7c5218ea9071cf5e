"""The plan of batches at the size of a large run, and what a checkpoint of each size costs.

Plan: samples of 24 buckets in shards of 1,000, planned for 1,000 ranks; every rank's slots of some
batches are taken and have to make the batch. The ratio is seconds a sample of the full number by
those of a quarter of it: about 1 where time grows as samples do (sorting adds a little). Memory is
the peak of the process above what it was.

Checkpoint: bytes by arithmetic (16 a weight in ranks' state, 8 in the two full sets that `generate`
and tracking read), seconds at the rate of one measured commit on this disk: written, hashed by rank
0, made durable and renamed, as `jobs/training/checkpoint.py` does it.
"""

import argparse
import json
import platform
import resource
import tempfile
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from jobs.training import checkpoint
from model.config import SIZES
from model.footprint import count_weights
from pipelines.plan_batches import Plan

AIM = 1.3
WORLD, BUCKETS, PER_SHARD, GLOBAL = 1000, 24, 1000, 4000
STATE, FULL = 16, 8  # bytes a weight: master, two moments, average; averaged and plain weights


def plan_seconds(samples: int) -> float:
    """Seconds to the first batch of an epoch in its middle, and to ten more."""
    shards = np.arange(samples) // PER_SHARD
    buckets = (np.arange(samples) * 7919 % 104_729) % BUCKETS
    begun = time.perf_counter()
    plan = Plan(shards, buckets, [GLOBAL] * BUCKETS, seed=0)
    first = plan.length(1) // 2
    batches = [plan.batch(1, first + number) for number in range(10)]
    took = time.perf_counter() - begun
    for batch in batches:
        edges = [len(batch.rows) * rank // WORLD for rank in range(WORLD + 1)]
        slots = [batch.rows[a:b] for a, b in pairwise(edges)]
        assert all(len(slot) == GLOBAL // WORLD for slot in slots), "a rank has more than another"
        assert len(np.unique(np.concatenate(slots))) == GLOBAL, "a sample stands twice in a batch"
    return took


def commit_rate(megabytes: int) -> float:
    """Bytes a second of a real commit of one file."""
    tensor = {"x": torch.randn(megabytes * 250_000)}
    with tempfile.TemporaryDirectory(prefix="reelmill-") as name:
        begun = time.perf_counter()
        path = checkpoint.commit(Path(name), 1, lambda to: save_file(tensor, to / "a.st"), 1)
        took = time.perf_counter() - begun
        size = sum(file.stat().st_size for file in checkpoint.files_of(path))
    return size / took


def peak_gib() -> float:
    """The most that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 million samples, not 100")
    quick = parser.parse_args().quick
    samples = 4_000_000 if quick else 100_000_000
    before = peak_gib()
    small = plan_seconds(samples // 4) / (samples // 4)
    full = plan_seconds(samples)
    memory = peak_gib() - before
    print(
        f"plan of {samples:,} samples for {WORLD} ranks: {full:.1f} s to a batch in the middle of "
        f"epoch 1, {memory:.2f} GiB, {memory * 2**30 / samples:.0f} bytes a sample"
    )
    rate = commit_rate(64 if quick else 1024)
    print(f"a checkpoint is committed at {rate / 1e6:.0f} MB/s here")
    for name, config in SIZES.items():
        size = count_weights(config).total * (STATE + FULL)
        print(f"  {name:>5}: {size / 1e9:8.2f} GB, {size / rate:8.1f} s at that rate")
    print(
        json.dumps(
            {
                "name": "plan_scale",
                "ratio": round(full / samples / small, 3),
                "aim": AIM,
                "ours": round(full / samples * 1e9, 1),
                "peer": round(small * 1e9, 1),
                "unit": "ns a sample, all and a quarter of them",
                "versions": {name: version(name) for name in ("numpy", "safetensors")},
                "machine": f"{platform.machine()} {platform.system()}",
            }
        )
    )


if __name__ == "__main__":
    main()
