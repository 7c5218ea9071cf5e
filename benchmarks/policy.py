"""One decision over a million clips: seconds against reading the same scores from disk.

A decision needs every score once, so a bare read of the score table's Parquet parts into Arrow is
the least it can cost; the rest is joining, judging, and writing a verdict for every clip.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.scores import SCORES
from pipelines.ledger import SCHEMAS, Ledger
from pipelines.policy import Policy
from pipelines.verdicts import decide

AIM = 8.0  # times a bare read
SCAN = "b" * 12


def make_ledger(folder: Path, count: int) -> Ledger:
    """`count` clips of 100 a film; the default policy keeps most, nulls are among the scores."""
    rng = np.random.default_rng(0)
    ledger = Ledger(folder)
    films = np.char.add("f", np.char.zfill((np.arange(count) // 100).astype(str), 15))
    ids = np.char.add(
        films, np.char.add("-", np.char.zfill((np.arange(count) % 100).astype(str), 8))
    )
    clip_ids = pa.array(ids)
    columns = {"clip_id": clip_ids}
    for name, score in SCORES.items():
        if score.text:
            words = pa.array(["red, green", "blue", "grey"])
            codes = pa.array(rng.integers(0, 3, count), pa.int32(), mask=rng.random(count) < 0.9)
            columns[name] = pa.DictionaryArray.from_arrays(codes, words).cast(pa.string())
        else:
            values = rng.random(count) ** 4  # most are small, as shares are
            columns[name] = pa.array(values, mask=rng.random(count) < 0.002)
    columns["has_sound"] = pa.array((rng.random(count) > 0.1).astype(np.float64))
    columns["duplicate_of"] = pa.array(["x"] * count, mask=rng.random(count) > 0.05)
    columns["brightness"] = columns["contrast"] = pa.array(rng.uniform(0.1, 0.9, count))
    ledger.replace(f"scores/scan@{SCAN}", as_table(columns, "scores/scan"))
    start = (np.arange(count) % 100) * 2.0
    clips = {"clip_id": clip_ids, "path": pa.array(films), "start_s": start, "end_s": start + 2.0}
    clips["fingerprint"] = pa.array([SCAN] * count)
    ledger.replace("clips", as_table(clips, "clips"))
    paths = np.unique(films)
    sources = {"path": pa.array(paths), "fingerprint": pa.array([SCAN] * len(paths))}
    ledger.replace("sources", as_table(sources, "sources"))
    return ledger


def as_table(columns: dict[str, pa.Array], table: str) -> pa.Table:
    """Columns in the schema of a ledger table, nulls where there is none."""
    schema = SCHEMAS[table]
    count = len(columns["path" if table == "sources" else "clip_id"])
    given = {n: pa.array(v) if isinstance(v, np.ndarray) else v for n, v in columns.items()}
    return pa.table(
        [given.get(f.name, pa.nulls(count, f.type)).cast(f.type) for f in schema], schema=schema
    )


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the clips")
    count = 100_000 if parser.parse_args().quick else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        ledger = make_ledger(Path(name), count)
        parts = sorted((Path(name) / f"scores/scan@{SCAN}").glob("*.parquet"))
        begun = time.perf_counter()
        read = sum(pq.read_table(part, partitioning=None).num_rows for part in parts)
        bare = time.perf_counter() - begun
        begun = time.perf_counter()
        tally = decide(Policy(), ledger, SCAN)
        ours = time.perf_counter() - begun
    assert read == tally.total == count, "a clip was lost"
    result = {
        "name": "policy",
        "ratio": round(ours / bare, 2),
        "aim": AIM,
        "ours": round(ours, 2),
        "peer": round(bare, 2),
        "unit": f"s for {count} clips of {len(SCORES)} scores; the peer is pyarrow's bare read",
        "versions": {p: version(p) for p in ("pyarrow", "numpy")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
