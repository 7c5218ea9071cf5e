"""The ledger: Parquet tables of small rows, made of immutable parts.

A pass appends `open-<number>-<random>.parquet` parts while it runs, so a kill loses only what was
in flight, and compacts at its end into sorted `part-<index>-<content hash>.parquet`: the same rows
give the same names and bytes whatever the parallelism or the number of attempts. Readers take all
parts; of two rows with one key the later part's wins.

Two drivers on one ledger lose and tear nothing: parts have names of their own, and only parts that
were read are folded. Where both wrote a row of one key, either may stay.
"""

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.captions.questions import ASK
from curation.files import atomic, sweep, write_bytes
from curation.judges.columns import COLUMNS
from curation.places import Place, Remote, below, each
from curation.records import Status
from curation.scores import AGREEMENT, ALIKE, SCORES, Score
from curation.spoken import SPOKEN

ROWS_A_PART = 200_000  # about 40 MB of scores: one reader's bite
LOOKS = 5  # at a table that another driver folds while it is read

Row = dict[str, Any]

_SOURCE_FACTS = [
    ("container", pa.string()),
    ("seconds", pa.float64()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("fps", pa.float64()),
    ("video_codec", pa.string()),
    ("audio_codec", pa.string()),
    ("audio_rate", pa.int32()),
    ("channels", pa.int32()),
    ("shots", pa.int32()),
    ("shot_method", pa.string()),
]
_VERDICT = [("status", pa.string()), ("reason", pa.string()), ("detail", pa.string())]
# `attempts` is null unless the row failed: a success must not tell how it came about.
_STATUS = [*_VERDICT, ("attempts", pa.int32())]
_JUDGED = [*_STATUS, ("crop", pa.string())]  # shares off top, bottom, left, right of what was seen


def _scores(columns: dict[str, Score], *more: tuple[str, pa.DataType]) -> pa.Schema:
    """A table of scores, a row a clip; a judge's has a status, whatever became of the clip."""
    values = [(name, pa.string() if s.text else pa.float64()) for name, s in columns.items()]
    return pa.schema([("clip_id", pa.string()), *more, *values])


SCHEMAS = {
    "sources": pa.schema(
        [
            ("source_id", pa.string()),
            ("path", pa.string()),
            ("bytes", pa.int64()),
            ("mtime_ns", pa.int64()),
            *_STATUS,
            ("clips", pa.int32()),
            *_SOURCE_FACTS,
            ("caption", pa.string()),
            ("licence", pa.string()),
            ("fingerprint", pa.string()),
        ]
    ),
    "clips": pa.schema(
        [
            ("clip_id", pa.string()),
            ("source_id", pa.string()),
            ("path", pa.string()),
            ("start_s", pa.float64()),
            ("end_s", pa.float64()),
            ("frames", pa.int32()),
            ("fps", pa.float64()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("has_audio", pa.bool_()),
            ("drift_ms", pa.float64()),
            ("shot", pa.int32()),
            ("split", pa.string()),
            ("fingerprint", pa.string()),
        ]
    ),
    "scores/scan": _scores(SCORES),
    "words": pa.schema(
        [
            ("source_id", pa.string()),
            ("path", pa.string()),
            ("bytes", pa.int64()),
            ("mtime_ns", pa.int64()),
            *_STATUS,
            ("engine", pa.string()),
            ("seconds", pa.float64()),
            ("voiced_s", pa.float64()),
            ("words", pa.int32()),
            ("flagged", pa.int32()),
            ("language", pa.string()),
            ("language_confidence", pa.float64()),
            ("transcript", pa.string()),
        ]
    ),
    "scores/speech": _scores(SPOKEN),
    "scores/caption": pa.schema(
        [
            ("clip_id", pa.string()),
            ("short", pa.string()),
            ("long", pa.string()),
            ("structured", pa.string()),
            ("provenance", pa.string()),
            ("status", pa.string()),
            ("detail", pa.string()),
            ("record", pa.string()),
            ("sources", pa.string()),
            ("rewrite", pa.string()),
            ("rewrite_detail", pa.string()),
        ]
    ),
    "scores/answers": pa.schema(
        [
            ("clip_id", pa.string()),
            ("asked", pa.string()),
            *_STATUS,
            ("teller", pa.string()),
            ("record", pa.string()),
        ]
    ),
    "scores/asks": _scores({}, *_VERDICT),  # and a nullable boolean a question of the recipe
    "scores/alike": _scores(ALIKE),
    "scores/agreement": _scores(AGREEMENT, ("asked", pa.string())),
    **{f"scores/{name}": _scores(columns, *_JUDGED) for name, columns in COLUMNS.items()},
    "verdicts": pa.schema(
        [
            ("clip_id", pa.string()),
            *_VERDICT,
        ]
    ),
    "takedown": pa.schema([("source_id", pa.string()), ("note", pa.string())]),
    "artefacts": pa.schema(
        [
            ("clip_id", pa.string()),
            *_STATUS,
            ("shard", pa.string()),
        ]
    ),
    "roundtrips": pa.schema(
        [
            ("clip_id", pa.string()),
            ("rendition", pa.string()),
            ("frames", pa.int32()),
            ("psnr_db", pa.float64()),
            ("sound_db", pa.float64()),
            ("detail", pa.string()),
        ]
    ),
}
KEYS = {
    "sources": ["path", "fingerprint"],
    "clips": ["clip_id", "fingerprint"],
    "takedown": ["source_id"],
    "words": ["path"],
    "roundtrips": ["clip_id", "rendition"],
}


ASKS = "scores/asks"


def schema_of(table: str, columns: Iterable[str]) -> pa.Schema:
    """The schema of a table that has `columns`: of its kind, and what a recipe's questions add."""
    schema = SCHEMAS[kind(table)]
    more = sorted(name for name in columns if name.startswith(ASK)) if kind(table) == ASKS else ()
    return pa.schema([*schema, *((name, pa.bool_()) for name in more)])


def kind(table: str) -> str:
    """The schema that `scores/scan@<fp>` or `verdicts/<fp>` follows. Raises ValueError."""
    name = table.partition("@")[0]
    name = name if name in SCHEMAS else name.partition("/")[0]
    if name not in SCHEMAS:
        raise ValueError(f"there is no ledger table {table!r}; tables are {', '.join(SCHEMAS)}")
    return name


class Ledger:
    """The tables under one place. Cheap to make: nothing is opened or created before use."""

    def __init__(self, folder: Place) -> None:
        self.folder = folder

    def append(self, table: str, rows: Iterable[Row]) -> None:
        """Commit `rows` as one new open part. Unknown columns are a ValueError."""
        data = to_table(table, list(rows))
        if not data.num_rows:
            return
        folder = self.folder / table
        number = 1 + max((int(p.name.split("-")[1]) for p in folder.glob("open-*")), default=0)
        write_part(folder / f"open-{number:08d}-{uuid.uuid4().hex[:8]}.parquet", data)

    def read(self, table: str, names: Collection[str] | None = None) -> pa.Table:
        """All rows of `table`, sorted by key, one a key; no rows when there is no such table.

        With `names` only these columns and the key's, as far as the table has them.
        """
        return self._read(table, names)[0]

    def rows(self, table: str) -> list[Row]:
        """The same as dictionaries, for tables that fit a person's patience."""
        rows: list[Row] = self.read(table).to_pylist()
        return rows

    def replace(self, table: str, rows: pa.Table | list[Row]) -> bool:
        """Make `rows` the whole table as sorted, content-named parts; False if it was so already.

        New parts are there before old ones go, and old ones go oldest first, so that a reader at
        any moment sees every key, and never an older row in place of a newer one.
        """
        data = rows if isinstance(rows, pa.Table) else to_table(table, rows)
        return self._replace(table, data, self._parts(table))

    def compact(self, table: str) -> bool:
        """Fold open parts into sorted ones. True when something was rewritten."""
        if not any((self.folder / table).glob("open-*.parquet")):
            return False
        return self.rewrite(table, lambda data: data)

    def rewrite(self, table: str, change: Callable[[pa.Table], pa.Table]) -> bool:
        """Make what `change` gives for the table's rows the table, as `replace` does.

        What another driver appends meanwhile stays.
        """
        data, parts = self._read(table)
        changed = change(data)
        if changed.equals(data) and not any(p.name.startswith("open-") for p in parts):
            return False
        return self._replace(table, changed, parts)

    def _replace(self, table: str, data: pa.Table, old: list[Any]) -> bool:
        """Write `data` in place of the parts `old`."""
        data = unique(table, data)
        folder = self.folder / table
        names = []
        for index, start in enumerate(range(0, data.num_rows, ROWS_A_PART)):
            sink = pa.BufferOutputStream()
            pq.write_table(
                data.slice(start, ROWS_A_PART).combine_chunks(), sink, compression="zstd"
            )
            blob = sink.getvalue().to_pybytes()
            name = f"part-{index:05d}-{hashlib.blake2b(blob, digest_size=6).hexdigest()}.parquet"
            names.append(name)
            if not (folder / name).exists():
                write_bytes(folder / name, blob)
        stale = [p for p in old if p.name not in names]
        for path in stale:
            path.unlink(missing_ok=True)  # another driver may have folded it too
        sweep(folder)
        return bool(stale) or len(old) != len(names)

    def finished(self, fingerprint: str) -> dict[str, Row]:
        """Sources of one fingerprint by path, without those whose clips are not all there."""
        sources = self.read("sources")
        sources = sources.filter(pc.equal(sources["fingerprint"], fingerprint))
        clips = self.clips(fingerprint)
        scored = pa.array(
            self.read(f"scores/scan@{fingerprint}")["clip_id"].to_pylist(), pa.string()
        )
        clips = clips.filter(pc.is_in(clips["clip_id"], scored))
        found = Counter(clips["source_id"].to_pylist())
        return {
            row["path"]: row
            for row in sources.to_pylist()
            if row["status"] != Status.OK or found[row["source_id"]] == row["clips"]
        }

    def taken_down(self) -> set[str]:
        """Ids of films that were removed on request and must not come back."""
        return set(self.read("takedown")["source_id"].to_pylist())

    def tables(self) -> list[str]:
        """Names of all tables that have rows."""
        parts = self.folder.rglob("*.parquet")
        return sorted({below(p.parent, self.folder) for p in parts})

    def clips(self, fingerprint: str) -> pa.Table:
        """The clips table of one scan fingerprint."""
        clips = self.read("clips")
        return clips.filter(pc.equal(clips["fingerprint"], fingerprint))

    def _read(self, table: str, names: Collection[str] | None = None) -> tuple[pa.Table, list[Any]]:
        """`read`, and the parts that it read."""
        for _ in range(LOOKS - 1):
            with suppress(FileNotFoundError):  # folded since they were listed
                return self._read_parts(table, names)
        return self._read_parts(table, names)

    def _read_parts(self, table: str, names: Collection[str] | None) -> tuple[pa.Table, list[Any]]:
        parts = self._parts(table)
        first = list(read_schema(parts[0]).names) if parts and kind(table) == ASKS else []
        schema = schema_of(table, first)
        if names is not None:
            wanted = {*names, *KEYS.get(kind(table), ["clip_id"])}
            schema = pa.schema([column for column in schema if column.name in wanted])
        found = each(lambda part: read_part(part, schema), parts, isinstance(self.folder, Remote))
        return unique(table, pa.concat_tables(found)) if found else schema.empty_table(), parts

    def _parts(self, table: str) -> list[Any]:
        """Sorted parts before open ones; one look."""
        parts = sorted(p for p in (self.folder / table).glob("*.parquet"))
        return [p for prefix in ("part-", "open-") for p in parts if p.name.startswith(prefix)]


def to_table(table: str, rows: list[Row]) -> pa.Table:
    """Rows in the table's schema; a column left out is null, an unknown one a ValueError."""
    schema = schema_of(table, {name for row in rows for name in row})
    unknown = {name for row in rows for name in row} - set(schema.names)
    if unknown:
        raise ValueError(f"ledger table {table!r} has no column {', '.join(sorted(unknown))}")
    return pa.Table.from_pylist(rows, schema=schema)


def unique(table: str, data: pa.Table) -> pa.Table:
    """Sorted by key; of rows with one key the last stays."""
    keys = KEYS.get(kind(table), ["clip_id"])
    if rising(data, keys):
        return data
    place = pa.array(np.arange(data.num_rows))
    order = data.select(keys).append_column("#", place)
    latest = order.group_by(keys).aggregate([("#", "max")])
    latest = latest.sort_by([(k, "ascending") for k in keys])
    return data.take(latest["#_max"])


def rising(data: pa.Table, keys: list[str]) -> bool:
    """Whether rows are sorted by `keys` without repeats, as compacted parts are."""
    less: Any = False
    for key in reversed(keys):
        column = data[key].combine_chunks()
        before, after = column[:-1], column[1:]
        less = pc.or_(pc.less(before, after), pc.and_(pc.equal(before, after), less))
    return data.num_rows < 2 or pc.all(less, skip_nulls=False).as_py() is True


def write_part(path: Place, data: pa.Table) -> None:
    """One Parquet file, atomically."""
    with atomic(path) as temp:
        pq.write_table(data, temp, compression="zstd")


def read_part(path: Place, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` in one part."""
    return pq.read_table(readable(path), schema=schema, columns=schema.names, partitioning=None)


def read_schema(path: Place) -> pa.Schema:
    """The schema of one part."""
    return pq.read_schema(readable(path))


def readable(path: Place) -> Any:  # noqa: ANN401 - what Arrow reads Parquet from
    """A local part by its path; one in a store as its bytes."""
    return path if isinstance(path, Path) else pa.BufferReader(path.read_bytes())
