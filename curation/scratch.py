"""Folders of one block of code, which go with it even when its process is killed.

Each has a lock file beside it, held as long as the block lasts: the kernel lets go of it when the
process dies, and the next process that needs such a folder removes what nobody holds.
"""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

PREFIX, LOCK = "reelmill-", ".lock"


@contextmanager
def scratch() -> Iterator[Path]:
    """A new empty folder in the folder for temporary files (TMPDIR)."""
    root = Path(tempfile.gettempdir())
    swept(root)
    folder = root / f"{PREFIX}{uuid.uuid4().hex}"
    with held(folder.with_suffix(LOCK)):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold a lock file of our own, and remove it in the end."""
    while True:
        with lock.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not same_file(lock, handle.fileno()):  # another's sweep took it before we held it
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def same_file(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that `path` names."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@cache
def swept(root: Path) -> int:
    """Remove, once a process, what killed processes left in `root`; their number."""
    left = 0
    for lock in root.glob(f"{PREFIX}*{LOCK}"):
        try:
            with lock.open("r+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
                left += 1
        except OSError:  # held by one who lives, another user's, or swept by another
            continue
    return left
