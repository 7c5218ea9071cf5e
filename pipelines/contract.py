"""The contract of a shard set: what it holds and what made it. Written last, refused by field."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
from torch import Tensor

from curation.files import (
    atomic,
    fingerprint,
    local_file,
    sha256_file,
    write_bytes,
    write_json,
)
from curation.places import Place, Remote, each
from model.geometry import AudioSpec, Geometry, VideoSpec
from pipelines.shards import SHARD_NAME, Entry, ShardError, side_entries
from pipelines.storage import DataRoot

SCHEMA_VERSION = 1
MAX_CONTRACT_BYTES = 256 << 20  # about a million shards
CONTRACT, INDEX, CONSTANTS, CURRENT = (
    "contract.json",
    "index.parquet",
    "constants.safetensors",
    "current.json",
)
INDEX_SCHEMA = pa.schema(
    [
        ("shard", pa.string()),
        ("key", pa.string()),
        ("json_offset", pa.int64()),
        ("json_size", pa.int64()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("crc", pa.int64()),
        ("bucket", pa.string()),
        ("seconds", pa.float64()),
        ("tokens", pa.int64()),
        ("split", pa.string()),
        ("classes", pa.list_(pa.string())),
    ]
)


def write_set(
    folder: Place,
    sides: list[dict[str, Any]],
    origin: dict[str, Any],
    buckets: dict[str, dict[str, Geometry]],
    constants: dict[str, Tensor],
    refused: int = 0,
) -> dict[str, Any]:
    """Write index, constants and, last, the contract of committed shards; return the contract.

    `origin` says what made them (VAEs, text encoder, policy ...); `buckets` is, by bucket and
    rendition, the geometry of its samples; `refused` counts clips that no shard was planned for.
    Equal inputs give equal bytes.
    """
    sides = sorted(sides, key=lambda side: side["shard"])
    entries = [entry for side in sides for entry in side_entries(side)]
    columns = {name: [getattr(e, name) for e in entries] for name in INDEX_SCHEMA.names}
    with atomic(folder / INDEX) as temp:
        pq.write_table(pa.table(columns, schema=INDEX_SCHEMA), temp, store_schema=False)
    names = sorted(constants)
    data = safetensors.torch.save({name: constants[name].contiguous() for name in names})
    write_bytes(folder / CONSTANTS, data)
    contract = {
        "schema": SCHEMA_VERSION,
        **origin,
        "buckets": {
            name: _bucket(name, buckets[name], entries, origin["video_vae"]["spec"]["time"])
            for name in sorted(buckets)
        },
        "counts": _counts(sides, entries, refused),
        "hours": sum(entry.seconds for entry in entries) / 3600,
        "shards": each(lambda side: _shard(folder, side), sides, isinstance(folder, Remote)),
        "index": _file(folder / INDEX),
        "constants": _file(folder / CONSTANTS),
    }
    contract["fingerprint"] = fingerprint(contract)
    write_json(folder / CONTRACT, contract)
    return contract


def read_contract(folder: Place) -> dict[str, Any]:
    """The contract of a shard set. Raises ValueError when there is none, or it was changed."""
    path = folder / CONTRACT
    try:
        if path.stat().st_size > MAX_CONTRACT_BYTES:
            raise ShardError(CONTRACT, "contract_damaged", "too large to be a contract")
        contract = json.loads(path.read_bytes())
    except OSError as error:
        raise ShardError(
            CONTRACT, "contract_missing", f"{folder} is no finished shard set; run encode"
        ) from error
    except ValueError as error:
        if isinstance(error, ShardError):
            raise
        raise ShardError(CONTRACT, "contract_damaged", f"not JSON: {error}") from error
    if not isinstance(contract, dict) or not isinstance(contract.get("shards"), list):
        raise ShardError(CONTRACT, "contract_damaged", "not a contract")
    if contract.get("schema") != SCHEMA_VERSION:
        raise ShardError(
            CONTRACT,
            "contract_schema",
            f"schema {contract.get('schema')!r}; this version reads {SCHEMA_VERSION}",
        )
    rest = {key: value for key, value in contract.items() if key != "fingerprint"}
    if fingerprint(rest) != contract.get("fingerprint"):
        raise ShardError(CONTRACT, "contract_edited", "its fingerprint is not that of its content")
    for shard in contract["shards"]:
        if not SHARD_NAME.fullmatch(str(shard.get("name"))):
            raise ShardError(CONTRACT, "contract_edited", f"shard name {shard.get('name')!r}")
    return contract


def read_index(folder: Place, contract: dict[str, Any]) -> pa.Table:
    """The index, one row a sample. Raises ShardError when it is not the contract's.

    The hash is checked before a byte is parsed, and only plain columns are accepted: no extension
    types, which have run code in other readers.
    """
    path = folder / INDEX
    if not path.is_file():
        raise ShardError(INDEX, "missing", f"{path} does not exist")
    with local_file(path) as here:
        check_file(here, contract["index"], INDEX)
        if b"ARROW:schema" in footer(here):
            # Arrow wakes the extension types named there, ray.data's among them, as it opens a file
            raise ShardError(INDEX, "index_edited", "it stores an Arrow schema; ours stores none")
        table = pq.ParquetFile(here).read()
    if not table.schema.equals(INDEX_SCHEMA, check_metadata=False):
        raise ShardError(INDEX, "index_edited", f"columns {table.schema.names}")
    return table


def footer(path: Path) -> bytes:
    """The bytes of a Parquet file's footer, unparsed."""
    with path.open("rb") as handle:
        handle.seek(-8, 2)
        size = int.from_bytes(handle.read(4), "little")
        handle.seek(-min(size + 8, path.stat().st_size), 2)
        return handle.read()


def read_constants(folder: Place, contract: dict[str, Any]) -> dict[str, Tensor]:
    """Latents that are the same for every sample, float16: `black.<rendition>.<bucket>` [C,T,h,w],
    the video latent of black frames, and `silence.<bucket>` [C,L]. Raises ShardError.
    """
    check_file(folder / CONSTANTS, contract["constants"], CONSTANTS)
    return safetensors.torch.load((folder / CONSTANTS).read_bytes())


def check_file(path: Place, facts: dict[str, Any], name: str) -> None:
    """Raise ShardError unless `path` has the size and hash that the contract says."""
    if not path.is_file():
        raise ShardError(name, "missing", f"{path} does not exist")
    if path.stat().st_size != facts["bytes"] or sha256_file(path) != facts["sha256"]:
        raise ShardError(name, "edited", "its bytes are not those the contract names")


def bucket_geometry(contract: dict[str, Any], bucket: str) -> dict[str, Geometry]:
    """The geometry of a bucket, by rendition; the first is the base."""
    video = VideoSpec(**contract["video_vae"]["spec"])
    audio = AudioSpec(**contract["audio_vae"]["spec"])
    sizes = {r["name"]: r for r in contract["buckets"][bucket]["renditions"]}
    specs = {
        name: replace(video, time=1) if r.get("stills") else video for name, r in sizes.items()
    }
    return {
        name: Geometry(r["frames"], r["height"], r["width"], r["fps"], specs[name], audio)
        for name, r in sizes.items()
    }


def sample_shapes(contract: dict[str, Any], bucket: str) -> dict[str, tuple[int | None, ...]]:
    """The shape that each tensor of a bucket's samples must have; None is a free length."""
    shapes: dict[str, tuple[int | None, ...]] = {}
    for name, geometry in bucket_geometry(contract, bucket).items():
        shapes[f"{name}.video"] = geometry.video_shape
        if contract["video_vae"].get("std"):
            shapes[f"{name}.video_std"] = geometry.video_shape
        shapes.setdefault("audio", geometry.audio_shape)
    for variant in contract["text"]["variants"]:
        shapes[f"text.{variant}"] = (None, contract["text"]["dim"])
    return shapes


def check_contract(contract: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise ValueError listing, by dotted field, where `contract` is not as `expected`.

    `expected` may be nested or hold dotted keys; fields it does not name are free. The contract of
    an earlier run as `expected` says what changed in the data since.
    """
    wrong = list(_differences(contract, expected, ""))
    if wrong:
        raise ValueError("the shard set does not match:\n" + "\n".join(f"  {w}" for w in wrong))


def find_set(root: DataRoot | Place) -> Place:
    """The folder of a shard set: `root` itself, or the one its last encode pass finished."""
    folder = root.shards if isinstance(root, DataRoot) else root
    if (folder / CONTRACT).is_file():
        return folder
    try:
        name = json.loads((folder / CURRENT).read_bytes())["folder"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no finished shard set in {folder}; run encode first") from error
    if not SHARD_NAME.fullmatch(name):
        raise ValueError(f"{folder / CURRENT} names {name!r}")
    return folder / name


def set_current(root: DataRoot, folder: Place) -> None:
    """Make `folder` the set that `find_set` gives; a file that says so already is left alone."""
    path, told = root.shards / CURRENT, {"folder": folder.name}
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        known = None
    if known != told:
        write_json(path, told)


def _differences(found: Any, wanted: Any, name: str) -> list[str]:  # noqa: ANN401 - JSON
    if not isinstance(wanted, dict):
        same = found == wanted
        return [] if same else [f"{name}: has {_short(found)}, expected {_short(wanted)}"]
    lines: list[str] = []
    for key, value in wanted.items():
        inner = found
        parts = [key] if isinstance(inner, dict) and key in inner else key.split(".")
        for part in parts:
            inner = inner.get(part) if isinstance(inner, dict) else None
        lines += _differences(inner, value, f"{name}.{key}" if name else key)
    return lines


def _short(value: Any) -> str:  # noqa: ANN401 - JSON
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _bucket(
    name: str, geometry: dict[str, Geometry], entries: list[Entry], time: int
) -> dict[str, Any]:
    mine = [entry for entry in entries if entry.bucket == name]
    base = next(iter(geometry.values()))
    fields = ("frames", "height", "width", "fps")
    sizes = [
        {"name": n, **{f: getattr(g, f) for f in fields}}
        | ({"stills": True} if g.video.time != time else {})
        for n, g in geometry.items()
    ]
    return {
        "renditions": sizes,
        "seconds": base.seconds,
        "samples": len(mine),
        "train": sum(entry.split == "train" for entry in mine),
    }


def _counts(sides: list[dict[str, Any]], entries: list[Entry], refused: int) -> dict[str, int]:
    failed = refused + sum(len(side["failures"]) for side in sides)
    return {
        "in": len(entries) + failed,
        "ok": len(entries),
        "failed": failed,
        "silent": sum("silent" in entry.classes for entry in entries),
        "train": sum(entry.split == "train" for entry in entries),
        "val": sum(entry.split == "val" for entry in entries),
    }


def _shard(folder: Place, side: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": side["shard"],
        "samples": len(side["samples"]),
        "bytes": side["bytes"],
        "sha256": side["sha256"],
        "side": _file(folder / f"{side['shard']}.json"),
    }


def _file(path: Place) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def trained_most(buckets: dict[str, dict[str, Any]]) -> str:
    """The bucket with most training samples, of a contract's or a card's."""
    return max(sorted(buckets), key=lambda name: int(buckets[name]["train"]))
