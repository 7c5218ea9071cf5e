"""Samples that an earlier shard set already holds, so that a changed policy encodes nothing twice.

A sample's bytes depend on its clip and on what `encode_fingerprint` names, not on the set it is in.
"""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from curation.places import Place, folders
from curation.stores import StorageError
from pipelines.contract import read_contract, read_index
from pipelines.shards import Encoded, Entry, ShardError, read_sample, side_entries
from pipelines.shelf import open_shard

Facts = dict[str, Any]  # bytes and sha256 of a shard
Found = dict[str, tuple[Place, Facts, Entry]]


def earlier_sets(shards: Place, encode: str, name: str) -> tuple[str, ...]:
    """Names of the sealed sets beside `name` that the same encode settings made."""
    sets = []
    for folder in (place for place in folders(shards) if place.name != name):
        with suppress(ShardError):  # not sealed, or damaged: nothing to rely on
            if read_contract(folder).get("encode") == encode:
                sets.append(folder.name)
    return tuple(sets)


@contextmanager
def earlier_samples(
    shards: Place,
    sets: tuple[str, ...],
    clips: list[str],
    here: tuple[Place, dict[str, Any]] | None = None,
) -> Iterator["Earlier"]:
    """What `sets` hold of `clips`; shards are opened when first needed and closed at the end.

    `here` is a shard that is made again, and its side file: what it holds already comes first.
    """
    found: Found = {}
    if here is not None:
        found = {entry.key: (*here, entry) for entry in side_entries(here[1])}
    for name in sets:
        try:
            contract = read_contract(shards / name)
            table = read_index(shards / name, contract)
        except (ShardError, OSError):
            continue
        facts = {shard["name"]: shard for shard in contract["shards"]}
        for row in table.filter(pc.is_in(table["key"], value_set=pa.array(clips))).to_pylist():
            entry = Entry(**{**row, "classes": tuple(row["classes"])})
            path = shards / name / f"{entry.shard}.tar"
            found.setdefault(entry.key, (path, facts[entry.shard], entry))
    earlier = Earlier(found)
    try:
        yield earlier
    finally:
        earlier.close()


class Earlier:
    """Reads single samples out of earlier sets."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._open: dict[Place, int] = {}

    def take(self, info: dict[str, Any], bucket: str) -> Encoded | None:
        """The sample whose json is `info`; None when there is none, or when it is damaged."""
        path, facts, entry = self._found.get(info["clip_id"], (None, {}, None))
        if path is None or entry is None or entry.bucket != bucket:
            return None
        try:
            there, tensors = self._read(path, facts, entry)
        except (ShardError, OSError, StorageError):
            return None
        if there != json.loads(json.dumps(info)):  # a caption was written anew, a split changed
            return None
        return Encoded(
            entry.key,
            bucket,
            entry.seconds,
            entry.tokens,
            entry.split,
            entry.classes,
            there,
            tensors,
        )

    def _read(
        self, path: Place, facts: Facts, entry: Entry
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Json and tensors after their checksum. Raises ShardError."""
        if path not in self._open:
            self._open[path] = open_shard(path, facts)
        crc = 0
        for offset, size in ((entry.json_offset, entry.json_size), (entry.offset, entry.size)):
            crc = zlib.crc32(os.pread(self._open[path], size, offset), crc)
        if crc != entry.crc:
            raise ShardError(entry.shard, "payload_flipped", "its checksum is wrong", entry.key)
        return read_sample(self._open[path], entry)

    def close(self) -> None:
        """Close all shards."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
