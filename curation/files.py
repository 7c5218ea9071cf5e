"""The one way files are written and named: content hashes, temp name, fsync, rename.

In an object store the upload of the whole file takes the rename's place.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curation.places import Place, Remote
from curation.scratch import scratch

CHUNK = 1 << 20


@contextmanager
def atomic(path: Place) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync and rename it there, else remove it.

    A reader sees the old file or the whole new one, never a part. Temporary names start with
    `.tmp-`, so leftovers of a killed writer are recognised by `sweep`. For an object store the
    temporary path is local, and uploaded in the end. Raises StorageError.
    """
    if isinstance(path, Remote):
        with scratch() as folder:
            local = folder / path.name
            yield local
            path.upload(local)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.parent / f".tmp-{os.getpid()}-{uuid.uuid4().hex}{path.suffix}"
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


def write_bytes(path: Place, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    if isinstance(path, Remote):
        path.write_bytes(data)
        return
    with atomic(path) as temp:
        temp.write_bytes(data)


def write_text(path: Place, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Place, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write `value` as indented JSON with sorted keys, so equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def sweep(folder: Place) -> int:
    """Remove what killed writers left in `folder`; return how many files that was.

    A writer that lives, another driver's perhaps, keeps its own. A store shows nothing of an upload
    that did not end.
    """
    if isinstance(folder, Remote):
        return 0
    found = list(folder.glob(".tmp-*")) if folder.is_dir() else []
    leftovers = [path for path in found if not is_alive(path.name.split("-")[1])]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def is_alive(process: str) -> bool:
    """Whether a process of this machine has the id that `process` says."""
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def hash_stream(handle: Any, size: int = 8) -> str:  # noqa: ANN401 - any binary reader
    """BLAKE2b of a readable binary stream, as 2*size hex characters."""
    digest = hashlib.blake2b(digest_size=size)
    while block := handle.read(CHUNK):
        digest.update(block)
    return digest.hexdigest()


@contextmanager
def local_file(path: Place, name: str = "file") -> Iterator[Path]:
    """A local file with the bytes of `path`: itself, or a copy for the length of the block.

    `name` is the copy's own: keys of a store are strangers' text. Raises FileNotFoundError,
    StorageError.
    """
    if isinstance(path, Path):
        yield path
        return
    with scratch() as folder:
        local = folder / name
        path.download(local)
        yield local


def sha256_file(path: Place) -> str:
    """SHA-256 of a file, for manifests."""
    with path.open("rb") as handle:
        return sha256_stream(handle)


def sha256_stream(handle: Any) -> str:  # noqa: ANN401 - any binary reader
    """SHA-256 of what is left in a readable binary stream."""
    digest = hashlib.sha256()
    while block := handle.read(CHUNK):
        digest.update(block)
    return digest.hexdigest()


def fingerprint(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """12 hex characters that name `value` (JSON types only): equal values, equal names."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=6).hexdigest()
