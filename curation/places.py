"""Object stores, spoken to as if they were folders: `Remote` offers what we use of `pathlib.Path`.

A `Place` is one or the other, and code that takes places is written once. What a store answers is
told apart: not there (FileNotFoundError), a fault that passes (tried again, for a bounded time) and
one that stays (StorageError with the cure). An object appears whole or not at all.
"""

import fnmatch
import io
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from curation.stores import S3_OPTIONS, S3_SWITCHES, StorageError, filesystem, trying

STORES = ("s3", "gs", "gcs")  # where a whole object replaces another at once: what roots need
CHUNK = 8 << 20  # bytes of one request: what a cut connection costs
AT_ONCE = 16  # requests of `each`: a store answers one in 10 to 100 ms, whatever its size
T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Facts:
    """What a store says of an object."""

    st_size: int
    st_mtime_ns: int  # whole seconds: some stores list milliseconds that a single look lacks


@dataclass(frozen=True, order=True)
class Remote:
    """An object, or all whose names begin with its own and a slash."""

    scheme: str
    bucket: str
    key: str
    options: str = ""
    facts: Facts | None = field(default=None, compare=False)  # where a listing told them

    def __str__(self) -> str:
        key = quote(self.key, safe="/ !$&'()*+,;:=@[]~") if set(self.key) & set("%?#") else self.key
        return f"{self.scheme}://{self.bucket}/{key}{f'?{self.options}' if self.options else ''}"

    def __truediv__(self, name: str) -> "Remote":
        return self._at(f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> "Remote":
        """The folder that it is in."""
        return self._at(self.key.rpartition("/")[0])

    def with_name(self, name: str) -> "Remote":
        """Another object beside it."""
        return self.parent / name

    def relative_to(self, other: "Remote") -> PurePosixPath:
        """The key below that of `other`."""
        return PurePosixPath(self.key).relative_to(other.key)

    def resolve(self) -> "Remote":
        """Itself: a URI names the same thing from everywhere."""
        return self

    def mkdir(self, **_: bool) -> None:
        """Nothing: names with slashes are all the folders that a store has."""

    def stat(self) -> Facts:
        """Size and time of the object. Raises FileNotFoundError, StorageError."""
        info = self._info()
        if info.type.name != "File":
            raise FileNotFoundError(f"{self} is not there")
        return self._facts(info)

    def is_file(self) -> bool:
        """Whether there is such an object."""
        return self.facts is not None or bool(self._info().type.name == "File")

    def is_dir(self) -> bool:
        """Whether there is an object below it."""
        return self.facts is None and bool(self._info().type.name == "Directory")

    def exists(self) -> bool:
        """Whether there is such an object, or one below it."""
        return self.facts is not None or bool(self._info().type.name != "NotFound")

    def iterdir(self) -> Iterator["Remote"]:
        """Objects and folders in it, sorted by name."""
        return iter(self._list(recursive=False))

    def glob(self, pattern: str) -> Iterator["Remote"]:
        """Those in it whose name is like `pattern`, sorted."""
        return (p for p in self.iterdir() if fnmatch.fnmatchcase(p.name, pattern))

    def rglob(self, pattern: str) -> Iterator["Remote"]:
        """Those anywhere below it whose name is like `pattern`, sorted."""
        return (p for p in self._list(recursive=True) if fnmatch.fnmatchcase(p.name, pattern))

    def chunks(self) -> Iterator[bytes]:
        """The object's bytes in order, CHUNK at a time; a cut connection goes on where it was.

        Raises FileNotFoundError, StorageError; both too when it is replaced meanwhile.
        """
        system, path = self._system()
        file = self._ask(lambda: system.open_input_file(path))
        size, at = file.size(), 0
        before = self.stat() if size > CHUNK else None
        while at < size:
            wanted = min(CHUNK, size - at)
            yield self._ask(partial(self._part, file, wanted, at))
            at += wanted
        if before is not None and self.stat() != before:
            raise StorageError("unreachable", f"{self} changed while it was read; run it again")

    def read_at(self, start: int, count: int) -> bytes:
        """`count` bytes from `start`. Raises FileNotFoundError, StorageError."""
        system, path = self._system()
        file = self._ask(lambda: system.open_input_file(path))
        return self._ask(partial(self._part, file, count, start))

    def parts(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        """(first byte, bytes) of the ranges (first byte, count), at most CHUNK at a time.

        Raises FileNotFoundError, StorageError.
        """
        system, path = self._system()
        file = self._ask(lambda: system.open_input_file(path))
        for start, count in ranges:
            for at in range(start, start + count, CHUNK):
                wanted = min(CHUNK, start + count - at)
                yield at, self._ask(partial(self._part, file, wanted, at))

    def read_bytes(self) -> bytes:
        """The whole object. Raises FileNotFoundError, StorageError."""
        return b"".join(self.chunks())

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """A reader from its beginning to its end, without seeking."""
        assert mode == "rb", mode
        return io.BufferedReader(_Reading(self.chunks()), CHUNK)

    def download(self, target: Path, told: Callable[[], None] = lambda: None) -> None:
        """Copy the object into a local file; `told` hears of every chunk."""
        with target.open("wb") as handle:
            for chunk in self.chunks():
                handle.write(chunk)
                told()

    def upload(self, source: Path) -> None:
        """Make a local file this object."""
        import pyarrow as pa  # noqa: PLC0415 - a recipe loads without

        with pa.memory_map(str(source)) as handle:
            self.write_bytes(handle.read_buffer())

    def write_bytes(self, data: Any) -> None:  # noqa: ANN401 - bytes, or an Arrow buffer
        """Make `data` the object's content."""
        system, path = self._system()
        size = len(data)

        def put() -> None:
            # One write: were Python interrupted between two, Arrow would complete half an object.
            with system.open_output_stream(path, buffer_size=0) as stream:
                stream.write(data)
            if (found := system.get_file_info(path).size) != size:
                raise OSError(f"{found} bytes are there, {size} were written")

        self._ask(put)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object. Raises FileNotFoundError, StorageError."""
        system, path = self._system()
        try:
            self._ask(lambda: system.delete_file(path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rmtree(self) -> None:
        """Remove all objects below it. Raises FileNotFoundError, StorageError."""
        system, path = self._system()
        self._ask(lambda: system.delete_dir(path))

    def check(self) -> None:
        """Raise StorageError unless its bucket answers to our credentials.

        In a bucket that does not exist nothing is there, which is no error anywhere else.
        """
        system, path = self._system()
        bucket = path.removesuffix(self.key).rstrip("/")
        info = self._ask(lambda: system.get_file_info(bucket))
        if info.type.name == "NotFound":
            raise StorageError.of("no_bucket", str(self))
        list(self.iterdir())

    def _at(self, key: str) -> "Remote":
        return replace(self, key=key, facts=None)

    def _part(self, file: Any, count: int, start: int) -> bytes:  # noqa: ANN401 - Arrow's file
        """`count` bytes from `start`. Raises OSError for fewer, FileNotFoundError."""
        system, path = self._system()
        try:
            data: bytes = file.read_at(count, start)
        except OSError as error:
            # Arrow has no room for a store's words where fewer bytes are asked for, and loses them.
            if system.get_file_info(path).type.name == "NotFound":
                raise FileNotFoundError(f"{self} is gone") from error
            raise
        if len(data) != count:
            raise OSError(f"{len(data)} of {count} bytes came from byte {start}")
        return data

    def _ask(self, request: Callable[[], T]) -> T:
        return trying(request, str(self))

    def _system(self) -> tuple[Any, str]:
        """The Arrow filesystem and the path in it."""
        system, base = self._ask(lambda: filesystem(self.scheme, self.bucket, self.options))
        return system, f"{base.rstrip('/')}/{self.key}".rstrip("/") or "/"

    def _info(self) -> Any:  # noqa: ANN401 - Arrow's FileInfo
        system, path = self._system()
        return self._ask(lambda: system.get_file_info(path))

    def _list(self, recursive: bool) -> list["Remote"]:
        from pyarrow import fs  # noqa: PLC0415 - a recipe loads without

        system, path = self._system()
        select = fs.FileSelector(path, allow_not_found=True, recursive=recursive)
        above = len(path) - len(self.key) + (not self.key and path != "/")  # the bucket, a slash
        return sorted(
            replace(self, key=info.path[above:], facts=self._facts(info))
            if info.type.name == "File"
            else self._at(info.path[above:])
            for info in self._ask(lambda: system.get_file_info(select))
        )

    def _facts(self, info: Any) -> Facts:  # noqa: ANN401 - Arrow's FileInfo
        time_ns = -1 if info.mtime_ns is None else info.mtime_ns
        if self.scheme in STORES and time_ns > 0:
            time_ns -= time_ns % 10**9
        return Facts(info.size or 0, time_ns)


Place = Path | Remote


class _Reading(io.RawIOBase):
    """A stream of chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:  # noqa: ANN401 - a writable buffer
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def remote(uri: str) -> Remote:
    """The place that a URI names: `s3://bucket/key?endpoint_override=host:port&scheme=http`.

    The key is taken as it stands but for %XX. Raises ValueError for credentials in it, or
    options that are not known.
    """
    scheme, _, rest = uri.partition("://")
    rest, options = cut_options(rest)
    bucket, _, key = rest.partition("/")
    if scheme == "s3" and "@" in bucket:
        raise ValueError(
            "credentials do not belong into a URI, which is stored and shown: set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and take them out of the part before @"
        )
    if scheme in STORES and not bucket:
        raise ValueError(f"{uri!r} names no bucket")
    if scheme == "s3":
        names = [name for name, _ in parse_qsl(options, keep_blank_values=True)]
        if strange := sorted(set(names) - S3_OPTIONS - S3_SWITCHES):
            known = ", ".join(sorted(S3_OPTIONS | S3_SWITCHES))
            raise ValueError(f"{uri!r}: {', '.join(strange)} is no option; there are {known}")
    return Remote(scheme, bucket, unquote(key).strip("/"), options)


def cut_options(text: str) -> tuple[str, str]:
    """(what stands before the options, the options): a `?` elsewhere is part of a pattern."""
    before, mark, after = text.rpartition("?")
    return (before, after) if mark and re.match(r"[a-z_]+=", after) else (text, "")


def place(text: str | Path) -> Place:
    """A folder of this machine, or the root in an object store that a URI names.

    Raises ValueError for a URI of something that cannot replace a whole file at once.
    """
    if "://" not in str(text):
        return Path(text)
    if str(text).startswith("file://"):
        return Path(unquote(urlsplit(str(text)).path))
    found = remote(str(text))
    if found.scheme not in STORES:
        raise ValueError(f"{str(text)!r}: give a folder or one of {', '.join(STORES)}://")
    return found


def each(function: Callable[[Item], T], items: list[Item], waits: bool) -> list[T]:
    """`function` of all items in their order: many at once where each `waits` for a store."""
    if not waits or len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        return list(pool.map(function, items))


def remove(folder: Place) -> None:
    """Remove a folder with all that is in it. Raises OSError, StorageError."""
    if isinstance(folder, Remote):
        folder.rmtree()
    else:
        shutil.rmtree(folder)


def below(path: Any, top: Any) -> str:  # noqa: ANN401 - both are places of one kind
    """The path from `top` to `path`, with slashes."""
    return str(path.relative_to(top))


def folders(where: Place) -> list[Any]:
    """Folders in a place, sorted; none where there is no such place."""
    if isinstance(where, Path):
        return sorted(path for path in where.glob("*") if path.is_dir())
    return [path for path in where.iterdir() if path.facts is None]
