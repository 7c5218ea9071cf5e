"""Shards of an object store, copied to this machine as they are needed.

Training reads single samples in a shuffled order, epoch after epoch. A copy comes over the network
once, in large requests, and its hash is checked as that of a local shard is; ranged reads would ask
the store once a sample and epoch, and be checked by their CRC alone.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from curation.assets import cache
from curation.files import atomic, sha256_stream
from curation.places import Place
from pipelines.shards import ShardError

SHARE = 0.5  # of what would be free without copies: the oldest go when there are more
LOOK_S = 0.1  # between looks at what another process copies
Told = Callable[[], None]
SHA256 = re.compile(r"[0-9a-f]{64}")


def open_shard(path: Place, facts: dict[str, Any], told: Told = lambda: None) -> int:
    """A descriptor of a shard, local or of its copy; `facts` are its `bytes` and `sha256`.

    A copy has that hash; a local shard is not looked at. `told` hears that a copy is under way.
    Raises OSError, ShardError, StorageError.
    """
    if isinstance(path, Path):
        return os.open(path, os.O_RDONLY)
    if not SHA256.fullmatch(str(facts["sha256"])):  # it becomes a file name
        raise ShardError(path.stem, "contract_edited", "its sha256 is none")
    copy = folder() / f"{facts['sha256']}.tar"
    with locked(copy.parent / f"lock-{copy.name[:2]}", told):
        while True:
            if not (was := is_whole(copy, facts)):
                make_room(copy, facts["bytes"])
                with atomic(copy) as temp:
                    path.download(temp, told)
                    check(temp, path.stem, facts)
            try:
                descriptor = os.open(copy, os.O_RDONLY)
            except FileNotFoundError:  # another copy took its room
                continue
            if not was:
                make_room(copy, 0)  # copies made at the same time did not count each other
            os.utime(descriptor, ns=(time.time_ns(), os.fstat(descriptor).st_mtime_ns))
            return descriptor


def folder() -> Path:
    """Where copies lie: `$REELMILL_CACHE/shards`."""
    return cache() / "shards"


def is_whole(copy: Path, facts: dict[str, Any]) -> bool:
    """Whether a copy is there with its hash; its first use in a process reads it once more."""
    try:
        with copy.open("rb") as handle:
            stat = os.fstat(handle.fileno())
            state = (copy.name, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if state in _whole:
                return True
            if stat.st_size != facts["bytes"] or sha256_stream(handle) != facts["sha256"]:
                return False
    except FileNotFoundError:
        return False
    _whole.add(state)
    return True


def check(copy: Path, name: str, facts: dict[str, Any]) -> None:
    """Raise ShardError unless a copy has the size and hash that `facts` say."""
    if (size := copy.stat().st_size) != facts["bytes"]:
        raise ShardError(name, "cut", f"{size} of {facts['bytes']} bytes")
    with copy.open("rb") as handle:
        if sha256_stream(handle) != facts["sha256"]:
            detail = "its hash is not the contract's; `reelmill verify` says where it is damaged"
            raise ShardError(name, "damaged", detail)


def make_room(copy: Path, size: int) -> None:
    """Remove the copies that were longest unused until `size` more bytes fit into the share.

    `copy` itself stays, and its bytes count when it is there.
    """
    copies = []
    for path in copy.parent.glob("*.tar"):
        with suppress(FileNotFoundError):  # gone or renamed meanwhile
            copies.append(((stat := path.stat()).st_atime_ns, stat.st_size, path))
    used = sum(bytes_ for _, bytes_, _ in copies)
    limit = SHARE * (shutil.disk_usage(copy.parent).free + used)
    for _, bytes_, path in sorted(copies):
        if used + size <= limit:
            return
        if path != copy and path.name[0] != ".":  # what is still being copied counts, and stays
            path.unlink(missing_ok=True)  # who has it open reads on
            used -= bytes_


@contextmanager
def locked(path: Path, told: Told) -> Iterator[None]:
    """One process of this machine at a time: the ranks of a node want the same shards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                told()
                time.sleep(LOOK_S)
        yield


_whole: set[tuple[str, int, int, int]] = set()  # copies this process has hashed
