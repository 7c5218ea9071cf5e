"""Find films: folders, patterns, manifests; on this machine or any Arrow filesystem."""

import fnmatch
import glob
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from curation.files import hash_stream, local_file
from curation.places import Remote, cut_options, each, remote
from curation.records import Reason, RejectedError
from curation.stores import StorageError

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
    if PurePosixPath(cut_options(spec)[0]).suffix.lower() in (".csv", ".parquet"):
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
    except (OSError, pa.ArrowException, StorageError) as error:
        raise ValueError(f"the manifest {spec!r} cannot be read: {error}") from error
    if "path" not in table.column_names:
        raise ValueError(f"the manifest {spec!r} has no `path` column, only {table.column_names}")
    rows = [row for row in table.to_pylist() if row["path"]]
    paths = [from_folder_of(spec, str(row["path"])) for row in rows]
    waits = any("://" in path for path in paths)
    for row, source in zip(rows, each(look_anywhere, paths, waits), strict=True):
        yield replace(
            source, caption=first_of(row, CAPTION_COLUMNS), licence=first_of(row, LICENCE_COLUMNS)
        )


def from_folder_of(manifest: str, path: str) -> str:
    """A path of a manifest, which starts at its folder unless it is absolute."""
    if "://" in path or path.startswith("/"):
        return path
    if "://" in manifest:
        return str(remote(manifest).with_name(path))
    base = manifest.rpartition("/")[0]
    return f"{base}/{path}" if base else path


def look_anywhere(path: str) -> Source:
    """Size and time of a local file, or of one under a URI."""
    return look_remote(path) if "://" in path else look(path)


def load_table(spec: str) -> pa.Table:
    """A CSV (all columns as text) or Parquet file from any filesystem."""
    with opened(spec) as handle:
        data = handle.read()
    if cut_options(spec)[0].lower().endswith(".parquet"):
        return pq.read_table(pa.BufferReader(data))
    names = pyarrow.csv.open_csv(pa.BufferReader(data)).schema.names
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    return pyarrow.csv.read_csv(pa.BufferReader(data), convert_options=convert, parse_options=parse)


def first_of(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of `names` that has a value, as text."""
    return next((str(row[name]) for name in names if row.get(name)), None)


def find_remote(spec: str) -> Iterator[Source]:
    """Films under a URI, or those that match its pattern. Raises ValueError, StorageError."""
    pattern, options = cut_options(spec)
    fixed = pattern
    while glob.has_magic(fixed):
        fixed = fixed.rpartition("/")[0]
    base = remote(f"{fixed}?{options}" if options else fixed)
    if fixed == pattern and base.is_file():
        yield listed(base)
        return
    if not base.is_dir():
        base.check()
        raise ValueError(f"{spec!r} is not there")
    for path in base.rglob("*"):
        name = f"{path.scheme}://{path.bucket}/{path.key}"
        wanted = is_film(path.name) if fixed == pattern else fnmatch.fnmatch(name, pattern)
        if path.facts is not None and wanted:
            yield listed(path)


def listed(path: Remote) -> Source:
    """A film in an object store."""
    facts = path.stat() if path.facts is None else path.facts
    return Source(str(path), facts.st_size, facts.st_mtime_ns)


def look_remote(path: str) -> Source:
    """Size and time of one file under a URI. Raises StorageError when the store is not there."""
    try:
        return listed(remote(path))
    except (OSError, ValueError):
        return Source(path)
    except StorageError as error:
        if error.kind != "unreachable":
            return Source(path)
        raise


def beside(path: str, name: str) -> str:
    """The path of `<stem><name>` in the folder of a film."""
    if "://" in path:
        film = remote(path)
        return str(film.with_name(f"{film.stem}{name}"))
    folder, slash, film_name = path.rpartition("/")
    return f"{folder}{slash}{PurePosixPath(film_name).stem}{name}"


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """A binary reader of a local path or URI. Raises OSError, ValueError, StorageError."""
    with (remote(path) if "://" in path else Path(path)).open("rb") as handle:
        yield handle


def hash_source(path: str) -> str:
    """The source_id of a film. Raises RejectedError(unreadable, empty).

    Bytes are streamed, so memory is bounded; an object store is asked again for some time.
    """
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
    except (OSError, ValueError, StorageError) as error:
        raise RejectedError(Reason.UNREADABLE, str(error)) from error


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A local path of a film; what lies elsewhere is copied for the length of the block.

    Raises RejectedError(unreadable).
    """
    if "://" not in path:
        yield path
        return
    with ExitStack() as hold:
        try:
            copy = hold.enter_context(local_file(remote(path)))
        except (OSError, ValueError, StorageError) as error:
            raise RejectedError(Reason.UNREADABLE, str(error)) from error
        yield str(copy)
