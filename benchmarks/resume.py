"""Time to the next batch after a stop in the middle of an epoch: our seek, and a skip by reading.

Ours opens the set and computes the plan from the cursor; shards are taken as verified, as they are
for whoever read them before, and the time with hashing is printed beside it. webdataset has no
position, so its loader reads up to the stop, without decoding what it skips. The ratio is peer
seconds by our seconds, medians of alternating runs at 50 % of the epoch.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import webdataset

from benchmarks.random_shards import make_set
from benchmarks.stream import BATCH, decode
from pipelines import stream as streams
from pipelines.stream import Cursor, Stream

AIM = 10.0


def ours(folder: Path, batches: int) -> float:
    """Seconds from nothing to the batch after `batches`."""
    begun = time.perf_counter()
    stream = Stream(folder, seed=0, global_batch=BATCH)
    walk = stream.batches(Cursor(0, batches))
    after, samples = next(walk)
    took = time.perf_counter() - begun
    assert len(samples) == BATCH
    assert after == Cursor(0, batches + 1)
    walk.close()
    stream.reader.close()
    return took


def peer(folder: Path, batches: int) -> float:
    """The same through webdataset: samples before the stop are read from the tar and dropped."""
    begun = time.perf_counter()
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    data = webdataset.WebDataset(shards, shardshuffle=False)
    left = islice(iter(data), batches * BATCH, None)
    assert len([decode(sample) for sample in islice(left, BATCH)]) == BATCH
    return time.perf_counter() - begun


def main() -> None:
    """Measure stops at 10, 50 and 90 % of an epoch; report 50 %."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller set and fewer runs, < 50 s")
    quick = parser.parse_args().quick
    clips, runs = (2048, 5) if quick else (32_768, 9)
    found = {}
    with tempfile.TemporaryDirectory(prefix="reelmill-") as name:
        folder = Path(name)
        make_set(folder, {17: clips}, channels=16, size=32, text_dim=64, per_shard=256)
        list(islice(Stream(folder, 0, BATCH).batches(), clips // BATCH))  # verified, in page cache
        for share in (0.1, 0.5, 0.9):
            stop = int(share * clips / BATCH)
            pairs = [(ours(folder, stop), peer(folder, stop)) for _ in range(runs)]
            mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            found[share] = mine, theirs
            print(
                f"stop at {share:.0%}: ours {mine * 1e3:.1f} ms, webdataset {theirs * 1e3:.1f} ms, "
                f"ratio {theirs / mine:.1f}"
            )
        streams.forget_verified()
        print(f"ours with the hashing of unverified shards: {ours(folder, stop) * 1e3:.1f} ms")
    mine, theirs = found[0.5]
    result = {
        "name": "resume",
        "ratio": round(theirs / mine, 1),
        "aim": AIM,
        "ours": round(mine, 4),
        "peer": round(theirs, 4),
        "unit": "s to the next batch",
        "versions": {name: version(name) for name in ("webdataset", "torch", "safetensors")},
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
