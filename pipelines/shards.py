"""Shards: WebDataset tar files of latents, written whole or not at all, read by offset.

A sample is two members, `<clip_id>.json` and `<clip_id>.safetensors`. Beside a shard stands its
side file `<shard>.json` with the rows of the index, the hash and the failures; it is written last,
so a shard without one does not exist. Nothing here executes what it reads: members other than
these two kinds are refused, tensors are float16 safetensors with an allow-list of names.
"""

import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from webdataset.writer import TarWriter

from curation.files import atomic, sha256_file, write_json
from curation.places import Place

BLOCK = 512  # tar's unit: a header is one block, data is padded to whole blocks
MAX_JSON_BYTES = 1 << 20
MAX_SAMPLE_BYTES = 1 << 30
MAX_HEADER_BYTES = 1 << 16  # safetensors allows 100 MB; ours has a dozen names
MAX_TENSORS = 64
KEY = re.compile(r"[A-Za-z0-9_-]{1,90}")  # no dots: webdataset cuts a name at its first dot
SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_@.+-]{0,190}")
TENSOR_NAME = re.compile(
    r"audio|[a-z][a-z0-9_]{0,31}\.video(_std)?|text\.[a-z][a-z0-9_]{0,31}|reference\.\d{1,2}\.(video|audio)"
)
ENDINGS = ("json", "safetensors")  # the order of a sample's members


class ShardError(ValueError):
    """A shard or a sample is damaged; `kind` is one of the names that `verify` reports."""

    def __init__(self, shard: str, kind: str, detail: str, clip: str = "") -> None:
        self.shard, self.kind, self.detail, self.clip = shard, kind, detail, clip
        super().__init__(f"{shard}: {kind}{f' at clip {clip}' if clip else ''}: {detail}")


@dataclass(frozen=True)
class Encoded:
    """One clip ready for a shard. Tensors are float16; `info` is its json."""

    clip_id: str
    bucket: str
    seconds: float
    tokens: int
    split: str
    classes: tuple[str, ...]
    info: dict[str, Any]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Failure:
    """One planned clip that gave no sample."""

    clip_id: str
    reason: str
    detail: str
    attempts: int = 1


@dataclass(frozen=True)
class Entry:
    """Where a sample lies in its shard: one row of the index. Offsets are of the data, in bytes."""

    shard: str
    key: str
    json_offset: int
    json_size: int
    offset: int
    size: int
    crc: int  # CRC-32 of both members' data: names the damaged clip where the shard's hash fails
    bucket: str
    seconds: float
    tokens: int
    split: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """One member of a tar file."""

    name: str
    offset: int
    size: int


def write_shard(folder: Place, name: str, clips: Iterable[Encoded | Failure]) -> dict[str, Any]:
    """Write `<name>.tar` and then its side file; return the side file's content.

    Equal clips give equal bytes: fixed member order, owner and times. When `clips` raises,
    nothing keeps a final name. Without a single sample only the side file is written.
    """
    if not SHARD_NAME.fullmatch(name):
        raise ValueError(f"shard name {name!r} must match {SHARD_NAME.pattern}")
    entries: list[Entry] = []
    failures: list[Failure] = []
    path = folder / f"{name}.tar"
    with atomic(path) as temp:
        with (
            temp.open("wb") as handle,
            TarWriter(
                handle, user="reelmill", group="reelmill", mtime=0, encoder=False, compress=False
            ) as tar,
        ):
            at = 0
            for clip in clips:
                if isinstance(clip, Failure):
                    failures.append(clip)
                    continue
                entry, at = _write_sample(tar, name, clip, at)
                entries.append(entry)
        _check_written(temp, name, entries)
        facts = {"bytes": temp.stat().st_size, "sha256": sha256_file(temp)}
    if not entries:
        path.unlink()
        facts = {"bytes": 0, "sha256": ""}
    side = {
        "shard": name,
        **facts,
        "samples": [asdict(entry) for entry in entries],
        "failures": [asdict(failure) for failure in failures],
    }
    write_json(folder / f"{name}.json", side)
    return side


def read_side(folder: Place, name: str) -> dict[str, Any] | None:
    """The side file of a committed shard, or None where the shard must be (re)made."""
    try:
        side: dict[str, Any] = json.loads((folder / f"{name}.json").read_bytes())
        size = (folder / f"{name}.tar").stat().st_size if side["samples"] else 0
        return side if side["shard"] == name and size == side["bytes"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def side_entries(side: dict[str, Any]) -> list[Entry]:
    """The index rows of a side file."""
    return [Entry(**{**row, "classes": tuple(row["classes"])}) for row in side["samples"]]


def read_sample(
    descriptor: int, entry: Entry, shapes: dict[str, tuple[int | None, ...]] | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The json and the tensors of one sample, by one positioned read.

    `shapes` gives the shape each named tensor must have (None = any). Raises ShardError naming
    shard and clip when bytes are missing, a name or type is not allowed, or a value is not finite.
    """
    start, end = entry.json_offset, entry.offset + entry.size
    if not 0 <= start <= start + entry.json_size <= entry.offset <= end < start + MAX_SAMPLE_BYTES:
        raise ShardError(entry.shard, "index", "offsets are out of order or too far", entry.key)
    data = os.pread(descriptor, end - start, start)
    if len(data) != end - start:
        raise ShardError(entry.shard, "cut", f"{len(data)} of {end - start} bytes", entry.key)
    try:
        info = json.loads(data[: entry.json_size])
        tensors = unpack(data[entry.offset - start :], shapes or {})
        if not isinstance(info, dict) or info.get("clip_id") != entry.key:
            raise ValueError("the json is of another clip")
    except ValueError as error:
        raise ShardError(entry.shard, "sample", str(error), entry.key) from error
    return info, tensors


def pack(tensors: dict[str, Tensor]) -> bytes:
    """Tensors as safetensors bytes. Raises ValueError for what `unpack` would refuse."""
    check_tensors(tensors, {})
    data = safetensors.torch.save({name: tensors[name].contiguous() for name in sorted(tensors)})
    check_finite(data, tensors)
    return data


def unpack(data: bytes, shapes: dict[str, tuple[int | None, ...]]) -> dict[str, Tensor]:
    """Tensors of safetensors bytes, checked against `shapes`. Raises ValueError."""
    header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header > min(MAX_HEADER_BYTES, len(data) - 8):
        raise ValueError(f"safetensors header of {header} bytes; at most {MAX_HEADER_BYTES}")
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"not safetensors: {error}") from error
    check_tensors(tensors, shapes)
    check_finite(data, tensors)
    return tensors


def check_tensors(tensors: dict[str, Tensor], shapes: dict[str, tuple[int | None, ...]]) -> None:
    """Raise ValueError unless all tensors are float16, with allowed names and shapes.

    Latents of the picture that `shapes` names must be there; sound and a caption may be missing.
    """
    lost = [name for name in shapes if ".video" in name and name not in tensors]
    if lost:
        raise ValueError(f"{', '.join(lost)}: not there")
    if len(tensors) > MAX_TENSORS:
        raise ValueError(f"{len(tensors)} tensors; at most {MAX_TENSORS}")
    for name, tensor in tensors.items():
        wanted = shapes.get(name)
        if wanted is None and not TENSOR_NAME.fullmatch(name):
            raise ValueError(f"tensor name {name[:60]!r} is not allowed")
        if tensor.dtype != torch.float16:
            raise ValueError(f"{name} is {tensor.dtype}, not float16")
        shape = tensor.shape
        if wanted is None or shape == wanted:
            continue
        loose = len(shape) == len(wanted) and None in wanted
        if not loose or any(w not in (None, s) for s, w in zip(shape, wanted, strict=True)):
            raise ValueError(f"{name} has shape {tuple(shape)}, not {wanted}")


def check_finite(data: bytes, tensors: dict[str, Tensor]) -> None:
    """Raise ValueError naming the tensor that has NaN or Inf; `data` are their safetensors bytes.

    All are float16, so one look at the bytes serves all: an exponent of all ones is not finite.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    bits = np.frombuffer(data, np.uint16, offset=start)
    if ((bits & 0x7C00) == 0x7C00).any():
        wrong = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
        raise ValueError(f"{', '.join(wrong)}: there are values that are not finite")


def walk(path: Path) -> Iterator[Member]:
    """The members of a shard, by reading headers only.

    Raises ShardError for anything but plain files named `<key>.json|.safetensors`: links, devices,
    long-name and pax records, paths, other endings; none of their content is read.
    """
    shard = path.stem
    size = path.stat().st_size
    at = 0
    with path.open("rb") as handle:
        while at + BLOCK <= size:
            handle.seek(at)
            block = handle.read(BLOCK)
            if not block.strip(b"\0"):
                return
            member = parse_header(block, at, shard)
            at = member.offset + padded(member.size)
            if at > size:
                raise ShardError(shard, "cut", f"{member.name} ends past the end of the file")
            yield member
    raise ShardError(shard, "cut", "the closing blocks are missing")


def padded(size: int) -> int:
    """Bytes that `size` bytes of data take in a tar file."""
    return -(-size // BLOCK) * BLOCK


def parse_header(block: bytes, at: int, shard: str) -> Member:
    """The member whose header is the 512 bytes `block` at byte `at`. Raises ShardError."""
    try:
        head = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise ShardError(shard, "header", f"at byte {at}: {error}") from error
    key, _, ending = head.name.partition(".")
    if head.type != tarfile.REGTYPE:
        raise ShardError(shard, "foreign_member", f"{head.name[:80]!r} is not a plain file")
    if ending not in ENDINGS or not KEY.fullmatch(key):
        raise ShardError(shard, "foreign_member", f"the name {head.name[:80]!r} is not allowed")
    return Member(head.name, at + BLOCK, head.size)


def _write_sample(tar: TarWriter, shard: str, clip: Encoded, at: int) -> tuple[Entry, int]:
    if not KEY.fullmatch(clip.clip_id):
        raise ValueError(f"clip_id {clip.clip_id!r} must match {KEY.pattern}")
    text = json.dumps(clip.info, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    if len(text) > MAX_JSON_BYTES or clip.info.get("clip_id") != clip.clip_id:
        raise ValueError(f"the json of {clip.clip_id} is too large or of another clip")
    data = pack(clip.tensors)
    tar.write({"__key__": clip.clip_id, "json": text, "safetensors": data})
    json_offset = at + BLOCK
    offset = json_offset + padded(len(text)) + BLOCK
    entry = Entry(
        shard=shard,
        key=clip.clip_id,
        json_offset=json_offset,
        json_size=len(text),
        offset=offset,
        size=len(data),
        crc=zlib.crc32(data, zlib.crc32(text)),
        bucket=clip.bucket,
        seconds=clip.seconds,
        tokens=clip.tokens,
        split=clip.split,
        classes=clip.classes,
    )
    return entry, offset + padded(len(data))


def _check_written(path: Path, shard: str, entries: list[Entry]) -> None:
    found = [(m.name, m.offset, m.size) for m in walk(path)]
    meant = []
    for entry in entries:
        meant.append((f"{entry.key}.json", entry.json_offset, entry.json_size))
        meant.append((f"{entry.key}.safetensors", entry.offset, entry.size))
    if found != meant:
        raise ShardError(shard, "index", "the tar written does not match its index")
