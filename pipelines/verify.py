"""Every byte of a shard set against its contract: what is damaged, where, and what it costs."""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.files import local_file, sha256_file
from curation.places import Place
from pipelines.contract import (
    CONSTANTS,
    CONTRACT,
    INDEX,
    check_file,
    read_contract,
    read_index,
    sample_shapes,
)
from pipelines.shards import (
    BLOCK,
    Entry,
    ShardError,
    padded,
    parse_header,
    read_sample,
    read_side,
    side_entries,
    walk,
)

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: the file, the kind, what was seen, and the clips it costs."""

    file: str
    kind: str
    detail: str
    clips: tuple[str, ...] = ()

    def line(self) -> str:
        """The damage as one line for a person."""
        lost = f"; {len(self.clips)} clips, first {self.clips[0]}" if self.clips else ""
        return f"{self.file}: {self.kind}: {self.detail}{lost}"


def verify(folder: Place, advance: Progress = lambda _: None) -> list[Damage]:
    """All damage of the set in `folder`; an empty list means that every byte is as written.

    Hashes every file, then decodes every sample: types, shapes, finite values. `advance(n)` is
    called with the samples of each shard as it is done.
    """
    try:
        contract = read_contract(folder)
    except ShardError as error:
        return [Damage(CONTRACT, error.kind, error.detail)]
    damages = _strangers(folder, contract)
    try:
        check_file(folder / CONSTANTS, contract["constants"], CONSTANTS)
    except ShardError as error:
        damages.append(Damage(CONSTANTS, f"constants_{error.kind}", error.detail))
    try:
        table = read_index(folder, contract)
    except ShardError as error:
        kind = error.kind if error.kind.startswith("index") else f"index_{error.kind}"
        damages.append(Damage(INDEX, kind, error.detail))
        entries = _side_entries(folder, contract)
    else:
        entries = {shard["name"]: [] for shard in contract["shards"]}
        for row in table.to_pylist():
            entries.setdefault(row["shard"], []).append(
                Entry(**{**row, "classes": tuple(row["classes"])})
            )
        damages += _miscounted(contract, entries)
    hashes = {shard["sha256"]: shard["name"] for shard in contract["shards"]}
    for shard in contract["shards"]:
        mine = entries.get(shard["name"], [])
        damages += _check_shard(folder, contract, shard, mine, hashes)
        advance(shard["samples"])
    return damages


def _strangers(folder: Place, contract: dict[str, Any]) -> list[Damage]:
    """Files that the contract does not name. Leftovers of a killed writer are not damage."""
    known = {CONTRACT, INDEX, CONSTANTS}
    known |= {f"{s['name']}.json" for s in contract["shards"]}
    known |= {f"{s['name']}.tar" for s in contract["shards"] if s["samples"]}
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".tmp-"))
    detail = "the contract does not name it"
    return [Damage(name, "extra", detail) for name in names if name not in known]


def _side_entries(folder: Place, contract: dict[str, Any]) -> dict[str, list[Entry]]:
    """The rows of the index as the side files have them, for sets whose index is lost."""
    found = {}
    for shard in contract["shards"]:
        side = read_side(folder, shard["name"])
        found[shard["name"]] = side_entries(side) if side else []
    return found


def _miscounted(contract: dict[str, Any], entries: dict[str, list[Entry]]) -> list[Damage]:
    damages = []
    for shard in contract["shards"]:
        count = len(entries[shard["name"]])
        if count != shard["samples"]:
            detail = f"{count} rows for {shard['name']}, the contract has {shard['samples']}"
            damages.append(Damage(INDEX, "index_edited", detail))
    return damages


def _check_shard(
    folder: Place,
    contract: dict[str, Any],
    shard: dict[str, Any],
    entries: list[Entry],
    hashes: dict[str, str],
) -> list[Damage]:
    name, damages = shard["name"], []
    try:
        check_file(folder / f"{name}.json", shard["side"], f"{name}.json")
    except ShardError as error:
        damages.append(Damage(f"{name}.json", f"side_{error.kind}", error.detail))
    if not shard["samples"]:
        return damages
    path = folder / f"{name}.tar"
    everyone = tuple(entry.key for entry in entries)
    if not path.is_file():
        return [*damages, Damage(path.name, "missing", "there is no such file", everyone)]
    with local_file(path, path.name) as here:
        return damages + _check_tar(here, contract, shard, entries, hashes)


def _check_tar(
    path: Path,
    contract: dict[str, Any],
    shard: dict[str, Any],
    entries: list[Entry],
    hashes: dict[str, str],
) -> list[Damage]:
    everyone = tuple(entry.key for entry in entries)
    digest = sha256_file(path)
    if digest == shard["sha256"]:
        return _check_content(path, contract, entries)
    if digest in hashes:
        detail = f"it holds the bytes of {hashes[digest]}"
        return [Damage(path.name, "swapped", detail, everyone)]
    size = path.stat().st_size
    if size == 0:
        return [Damage(path.name, "zero_length", "the file is empty", everyone)]
    if size < shard["bytes"]:
        return [_cut(path, size, shard["bytes"], entries)]
    if size > shard["bytes"]:
        detail = f"{size} bytes, {shard['bytes']} were written"
        return [Damage(path.name, "longer", detail, everyone)]
    return _flipped(path, entries)


def _cut(path: Path, size: int, whole: int, entries: list[Entry]) -> Damage:
    """Where a shorter file ends, and the clips that are not whole in it."""
    lost = tuple(e.key for e in entries if e.offset + e.size > size)
    kind = "cut_in_trailer"
    for entry in entries:
        second = entry.offset - BLOCK
        if size <= entry.json_offset - BLOCK:
            kind = "cut_between_samples"
        elif size < entry.json_offset or second < size < entry.offset:
            kind = "cut_in_header"
        elif size == second:
            kind = "cut_between_members"
        elif size < entry.offset + padded(entry.size):
            kind = "cut_in_data"
        else:
            continue
        break
    return Damage(path.name, kind, f"{size} of {whole} bytes", lost)


def _flipped(path: Path, entries: list[Entry]) -> list[Damage]:
    """Same length, other bytes: the members whose header or data changed."""
    damages: list[Damage] = []
    with path.open("rb") as handle:
        descriptor = handle.fileno()
        for entry in entries:
            members = ((entry.json_offset, entry.json_size), (entry.offset, entry.size))
            try:
                for offset, size in members:
                    _check_header(descriptor, entry, offset, size)
            except ShardError as error:
                damages.append(Damage(path.name, "header_flipped", error.detail, (entry.key,)))
            crc = 0
            for offset, size in members:
                crc = zlib.crc32(os.pread(descriptor, size, offset), crc)
            if crc != entry.crc:
                detail = f"data of {entry.key} changed"
                damages.append(Damage(path.name, "payload_flipped", detail, (entry.key,)))
    everyone = tuple(entry.key for entry in entries)
    return damages or [Damage(path.name, "changed", "bytes outside all members changed", everyone)]


def _check_header(descriptor: int, entry: Entry, offset: int, size: int) -> None:
    member = parse_header(os.pread(descriptor, BLOCK, offset - BLOCK), offset - BLOCK, entry.shard)
    if not member.name.startswith(f"{entry.key}.") or member.size != size:
        raise ShardError(entry.shard, "header", f"at byte {offset - BLOCK}: it names {member.name}")


def _check_content(path: Path, contract: dict[str, Any], entries: list[Entry]) -> list[Damage]:
    """The right bytes may still be wrong data when a foreign writer made them."""
    damages = []
    try:
        found = {(m.offset, m.size): m.name for m in walk(path)}
        if len(found) != 2 * len(entries):
            detail = f"{len(found)} members, the index has {2 * len(entries)}"
            damages.append(Damage(path.name, "index", detail))
    except ShardError as error:
        damages.append(Damage(path.name, error.kind, error.detail))
    shapes = {bucket: sample_shapes(contract, bucket) for bucket in contract["buckets"]}
    with path.open("rb") as handle:
        for entry in entries:
            try:
                read_sample(handle.fileno(), entry, shapes[entry.bucket])
            except ShardError as error:
                damages.append(Damage(path.name, error.kind, error.detail, (entry.key,)))
    return damages
