"""Remove a film from everything that was made of it: clips, scores, captions, latents, shards.

The request is written down first and checked by every later scan, so a stop in the middle, or the
same file under another name, changes nothing: run it again, or scan again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.files import local_file, sha256_file
from curation.places import Place, Remote, each, folders, remove
from curation.records import Reason, Status
from pipelines.contract import bucket_geometry, read_constants, read_contract, write_set
from pipelines.ledger import Ledger
from pipelines.shards import (
    Encoded,
    Failure,
    ShardError,
    read_sample,
    read_side,
    side_entries,
    write_shard,
)
from pipelines.storage import DataRoot

TABLE = "takedown"
MADE_BY = ("schema", "buckets", "counts", "hours", "shards", "index", "constants", "fingerprint")


@dataclass
class Removed:
    """What a takedown removed: ledger rows by table, samples by shard set."""

    rows: dict[str, int] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)


def sources_named(ledger: Ledger, words: Iterable[str]) -> dict[str, list[str]]:
    """Paths by source_id of films that are named by id or by path. Raises ValueError."""
    table = ledger.read("sources").select(["source_id", "path"]).to_pylist()
    by_id: dict[str, list[str]] = {}
    by_path: dict[str, str] = {}
    for row in table:
        if row["source_id"]:
            by_path[row["path"]] = row["source_id"]
            by_id.setdefault(row["source_id"], []).append(row["path"])
    found: dict[str, list[str]] = {}
    for word in words:
        name = word if word in by_id else by_path.get(word, "")
        if not name:
            raise ValueError(f"the ledger knows no film {word!r}; name a source_id or its path")
        found[name] = sorted(set(by_id[name]))
    return found


def take_down(root: DataRoot, sources: Iterable[str], note: str = "") -> Removed:
    """Remove films by source_id from the ledger, all shard sets and previews below `root`."""
    ledger, names = Ledger(root.ledger), set(sources)
    ledger.append(TABLE, [{"source_id": name, "note": note} for name in sorted(names)])
    ledger.compact(TABLE)
    names |= ledger.taken_down()  # those of a run that was stopped
    removed = Removed()
    for folder in folders(root.shards):
        if count := clean_set(folder, names):
            removed.samples[folder.name] = count
    for preview in folders(root.previews):
        if preview.name.partition("-")[0] in names:
            remove(preview)
    for table in ledger.tables():
        if table != TABLE and (count := clean_table(ledger, table, names)):
            removed.rows[table] = count
    return removed


def clean_table(ledger: Ledger, table: str, names: set[str]) -> int:
    """Drop the rows of films, of their clips, and names of these clips in other rows.

    A film's own row stays, without its words: it is `skipped` as taken down.
    """
    gone = 0

    def change(data: pa.Table) -> pa.Table:
        nonlocal gone
        clean = blank_sources if table == "sources" else without_rows
        kept, gone = clean(data, names)
        return kept

    ledger.rewrite(table, change)
    return gone


def without_rows(data: pa.Table, names: set[str]) -> tuple[pa.Table, int]:
    """The table without rows of films and of their clips; how many those were."""
    key = "source_id" if "source_id" in data.column_names else "clip_id"
    gone = owned(data[key], names)
    kept = data.filter(pa.array(~gone))
    for place, column in enumerate(kept.schema):
        if column.name.endswith("_of"):  # the clip that this one repeats
            values = kept[column.name].to_numpy(zero_copy_only=False)
            stale = owned(kept[column.name], names)
            if stale.any():
                values = pa.array(np.where(stale, None, values), column.type)
                kept = kept.set_column(place, column, values)
    return kept, int(gone.sum())


def blank_sources(data: pa.Table, names: set[str]) -> tuple[pa.Table, int]:
    """Rows of films that are taken down keep path, size and time, so that no scan opens them."""
    rows = data.to_pylist()
    count = 0
    for row in rows:
        if row["source_id"] in names and row["reason"] != Reason.TAKEN_DOWN:
            row |= {"status": Status.SKIPPED, "reason": Reason.TAKEN_DOWN, "detail": None}
            row |= {"clips": 0, "caption": None}
            count += 1
    return pa.Table.from_pylist(rows, schema=data.schema), count


def owned(ids: pa.ChunkedArray, names: set[str]) -> Any:  # noqa: ANN401 - a numpy array of bool
    """Which ids are those of the films or of their clips; null is none."""
    films = pc.list_element(pc.split_pattern(ids.fill_null("-"), "-"), 0)
    return np.asarray(pc.is_in(films, value_set=pa.array(sorted(names), pa.string())))


def clean_set(folder: Place, names: set[str]) -> int:
    """Rewrite the shards that hold samples of films, then the contract; returns samples removed."""
    count = 0
    contract = None
    try:
        contract = read_contract(folder)
        shards = [shard["name"] for shard in contract["shards"]]
    except ShardError:  # an encode that was stopped: shards without a contract
        shards = sorted(path.stem for path in folder.glob("*.json"))
    found_sides = each(lambda name: read_side(folder, name), shards, isinstance(folder, Remote))
    before = [side for side in found_sides if side]
    sides = []
    for side in before:
        found = [e for e in side_entries(side) if e.key.split("-")[0] in names]
        failed = [f for f in side["failures"] if f["clip_id"].split("-")[0] in names]
        sides.append(without(folder, side, names) if found or failed else side)
        count += len(found)
    if contract is not None and len(sides) == len(shards):
        reseal(folder, contract, before, sides)
    return count


def without(folder: Place, side: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The shard written again without some films; its new side file. Raises ShardError."""
    path = folder / f"{side['shard']}.tar"
    clips: list[Encoded | Failure] = [
        Failure(**row) for row in side["failures"] if row["clip_id"].split("-")[0] not in names
    ]
    kept = [entry for entry in side_entries(side) if entry.key.split("-")[0] not in names]
    if kept:
        with local_file(path) as here, here.open("rb") as handle:
            if sha256_file(here) != side["sha256"]:
                detail = "verify names what is damaged; delete and encode"
                raise ShardError(path.stem, "edited", detail)
            for e in kept:
                info, tensors = read_sample(handle.fileno(), e)
                clips.append(
                    Encoded(e.key, e.bucket, e.seconds, e.tokens, e.split, e.classes, info, tensors)
                )
    return write_shard(folder, side["shard"], clips)


def reseal(
    folder: Place,
    contract: dict[str, Any],
    before: list[dict[str, Any]],
    sides: list[dict[str, Any]],
) -> None:
    """Write index and contract of the shards as they are now, where they differ."""
    if {s["name"]: s["sha256"] for s in contract["shards"]} == {
        side["shard"]: side["sha256"] for side in sides
    }:
        return
    failures = sum(len(side["failures"]) for side in before)
    refused = max(0, contract["counts"]["failed"] - failures)
    made_by = {key: value for key, value in contract.items() if key not in MADE_BY}
    buckets = {name: bucket_geometry(contract, name) for name in contract["buckets"]}
    constants = read_constants(folder, contract)
    write_set(folder, sides, made_by, buckets, constants, refused)
