"""The one way files are written and named: content hashes, temp name, fsync, rename."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHUNK = 1 << 20


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync and rename it there, else remove it.

    A reader sees the old file or the whole new one, never a part. Temporary names start with
    `.tmp-`, so leftovers of a killed writer are recognised by `sweep`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.parent / f".tmp-{uuid.uuid4().hex}{path.suffix}"
    try:
        yield temp
        with temp.open("rb") as handle:
            os.fsync(handle.fileno())
        temp.replace(path)
        fsync_folder(path.parent)
    finally:
        temp.unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic(path) as temp:
        temp.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write `value` as indented JSON with sorted keys, so equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def sweep(folder: Path) -> int:
    """Remove what killed writers left in `folder`; return how many files that was."""
    leftovers = list(folder.glob(".tmp-*")) if folder.is_dir() else []
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def hash_stream(handle: Any, size: int = 8) -> str:  # noqa: ANN401 - any binary reader
    """BLAKE2b of a readable binary stream, as 2*size hex characters."""
    digest = hashlib.blake2b(digest_size=size)
    while block := handle.read(CHUNK):
        digest.update(block)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, for manifests."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """12 hex characters that name `value` (JSON types only): equal values, equal names."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=6).hexdigest()
