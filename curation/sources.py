"""Find films: folders, patterns, manifests; on this machine or any Arrow filesystem."""

import fnmatch
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import fs

from curation.files import CHUNK, hash_stream
from curation.records import Reason, RejectedError

FILMS = frozenset(
    (
        *("mp4", "m4v", "mov", "qt", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts"),
        *("wmv", "asf", "flv", "f4v", "ogv", "ogg", "3gp", "mxf", "gif", "m3u8", "m3u", "mpd"),
    )
)  # playlists are listed so that they are refused by name instead of passed over
CAPTION_COLUMNS = ("captions", "caption", "text")
LICENCE_COLUMNS = ("licence", "license")


@dataclass(frozen=True)
class Source:
    """A film that was found. `path` is local, or a URI with a scheme."""

    path: str
    bytes: int = -1  # -1: could not be looked at
    mtime_ns: int = -1
    caption: str | None = None
    licence: str | None = None


def find_sources(specs: list[str]) -> list[Source]:
    """Films of all `specs`, sorted by path, each path once.

    A spec is a folder (searched to the bottom for names that films have), a file, a pattern such as
    `films/**/*.mp4`, or a manifest (.csv, .parquet) with a `path` column and, if wanted, captions
    and licence. URIs (`s3://…`, `gs://…`, `file://…`) go through Arrow. Raises ValueError
    for a spec that is not there.
    """
    found: dict[str, Source] = {}
    for spec in specs:
        for source in find(spec):
            found[source.path] = source
    return [found[path] for path in sorted(found)]


def find(spec: str) -> Iterator[Source]:
    """Films of one spec."""
    if PurePosixPath(spec).suffix.lower() in (".csv", ".parquet"):
        yield from read_manifest(spec)
    elif "://" in spec:
        yield from find_remote(spec)
    elif Path(spec).is_dir():
        for folder, names, files in os.walk(spec):
            names[:] = sorted(n for n in names if not n.startswith("."))
            yield from (look(os.path.join(folder, name)) for name in files if is_film(name))  # noqa: PTH118 - text in, text out
    elif Path(spec).exists():
        yield look(spec)
    elif glob.has_magic(spec):
        paths = glob.iglob(spec, recursive=True)  # noqa: PTH207 - absolute patterns too
        yield from (look(path) for path in paths if not Path(path).is_dir())
    else:
        raise ValueError(f"{spec!r} is not there; give a folder, file, pattern or manifest")


def is_film(name: str) -> bool:
    """Whether a file of a searched folder has a film's name."""
    return not name.startswith(".") and name.rpartition(".")[2].lower() in FILMS


def look(path: str) -> Source:
    """A local file's size and time.

    Tables hold UTF-8: a name that is none is written with escapes and ends as `unreadable`.
    """
    name = path.encode("utf-8", "backslashreplace").decode()
    if name != path:
        return Source(name)
    try:
        facts = Path(path).stat()
    except OSError:
        return Source(name)
    return Source(name, facts.st_size, facts.st_mtime_ns)


def read_manifest(spec: str) -> Iterator[Source]:
    """Rows of a manifest; relative paths start at its folder. Raises ValueError for a bad one."""
    try:
        table = load_table(spec)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"the manifest {spec!r} cannot be read: {error}") from error
    if "path" not in table.column_names:
        raise ValueError(f"the manifest {spec!r} has no `path` column, only {table.column_names}")
    base = spec.rpartition("/")[0]
    for row in table.to_pylist():
        path = str(row["path"] or "")
        if not path:
            continue
        absolute = "://" in path or path.startswith("/") or not base
        path = path if absolute else f"{base}/{path}"
        source = look_remote(path) if "://" in path else look(path)
        yield replace(
            source, caption=first_of(row, CAPTION_COLUMNS), licence=first_of(row, LICENCE_COLUMNS)
        )


def load_table(spec: str) -> pa.Table:
    """A CSV (all columns as text) or Parquet file from any filesystem."""
    with opened(spec) as handle:
        if spec.lower().endswith(".parquet"):
            return pq.read_table(handle)
        names = pyarrow.csv.open_csv(handle).schema.names
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    with opened(spec) as handle:
        return pyarrow.csv.read_csv(handle, convert_options=convert, parse_options=parse)


def first_of(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of `names` that has a value, as text."""
    return next((str(row[name]) for name in names if row.get(name)), None)


def find_remote(spec: str) -> Iterator[Source]:
    """Films under a URI, or those that match its pattern."""
    fixed = spec
    while glob.has_magic(fixed):
        fixed = fixed.rpartition("/")[0]
    system, base = filesystem(fixed)
    root = fixed.rstrip("/").removesuffix(base.strip("/"))
    info = system.get_file_info(base)
    if info.type == fs.FileType.NotFound:
        raise ValueError(f"{spec!r} is not there")
    files = [info]
    if info.type == fs.FileType.Directory:
        files = system.get_file_info(fs.FileSelector(base, recursive=True))
    for file in files:
        path = f"{root}{file.path.lstrip('/')}"
        wanted = fnmatch.fnmatch(path, spec) if fixed != spec else is_film(file.base_name)
        if file.type == fs.FileType.File and (wanted or file is info):
            yield Source(path, file.size or 0, file.mtime_ns or -1)


def look_remote(path: str) -> Source:
    """Size and time of one file under a URI."""
    try:
        system, place = filesystem(path)
        info = system.get_file_info(place)
    except (OSError, ValueError):
        return Source(path)
    if info.type != fs.FileType.File:
        return Source(path)
    return Source(path, info.size or 0, info.mtime_ns or -1)


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The Arrow filesystem of a URI and the path in it. Raises ValueError."""
    try:
        system, path = fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{uri!r}: {error}") from error
    return system, path


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """A binary reader of a local path or URI. Raises OSError."""
    if "://" in path:
        system, place = filesystem(path)
        with system.open_input_stream(place) as handle:
            yield handle
    else:
        with Path(path).open("rb") as handle:
            yield handle


def hash_source(path: str) -> str:
    """The source_id of a film. Raises RejectedError(unreadable, empty)."""
    try:
        if "://" not in path and not Path(path).is_file():
            raise RejectedError(
                Reason.UNREADABLE,
                "no regular file, gone since it was listed, or its name is not UTF-8",
            )
        with opened(path) as handle:
            first = handle.read(1)
            if not first:
                raise RejectedError(Reason.EMPTY, "zero bytes")
        with opened(path) as handle:
            return hash_stream(handle)
    except (OSError, ValueError) as error:
        raise RejectedError(Reason.UNREADABLE, str(error)) from error


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A local path of a film; what lies elsewhere is copied for the length of the block.

    Raises RejectedError(unreadable).
    """
    if "://" not in path:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
        copy = Path(folder) / "film"
        try:
            with opened(path) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, CHUNK)
        except (OSError, ValueError) as error:
            raise RejectedError(Reason.UNREADABLE, str(error)) from error
        yield str(copy)
