"""The training stream: the same samples in the same order on every machine, from any cursor.

Every rank computes the same plan (`plan_batches.py`) and reads its slot of each global batch by
offset. Nothing is drawn at run time, so resuming is a seek and the number of ranks may change
while the global batch stays.
"""

import math
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from curation.files import sha256_file
from curation.places import Place, Remote
from curation.stores import StorageError
from model.geometry import Geometry
from model.noise import Draw
from pipelines.companions import companions
from pipelines.contract import bucket_geometry, read_contract, read_index, sample_shapes
from pipelines.plan_batches import Plan, batch_sizes
from pipelines.shards import Entry, ShardError, read_sample
from pipelines.shelf import open_shard

OPEN_FILES = 64
AHEAD = 64  # batches whose shards are copied before they are read: half a block of 256 MiB shards
COPIES = 4  # at once
NUMBERS = ("json_offset", "json_size", "offset", "size", "crc", "tokens")
TEXTS = ("shard", "key", "bucket", "split")
DEFAULT_GRANULARITY = 8  # 1, 2, 4 and 8 ranks take equal slots without asking
_verified: set[tuple[str, int, int, int]] = set()  # shards this process has hashed


@dataclass(frozen=True)
class Cursor:
    """The next global batch to train on. `Cursor(**json)` reads what `vars(cursor)` wrote."""

    epoch: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Sample:
    """One visit of one clip. Tensors are float16."""

    clip_id: str
    visit: int  # how often this clip came before: with the seed it decides every random choice
    bucket: str
    geometry: Geometry  # of the base rendition, the recipe's first
    videos: dict[str, Tensor]  # rendition -> [C,T,h,w]
    audio: Tensor | None  # [C,L]; None where the clip has no sound
    text: dict[str, Tensor]  # variant -> [N,D], real tokens only; variants the clip has
    info: dict[str, Any]  # the sample's json
    stds: dict[str, Tensor] = field(default_factory=dict)  # as videos, where the set stores them
    other: "Sample | None" = None  # another clip of the film, where the stream was asked for it
    shapes: dict[str, Geometry] = field(default_factory=dict)  # of each rendition

    @property
    def video(self) -> Tensor:
        """The base rendition's latent, [C,T,h,w]."""
        return next(iter(self.videos.values()))

    def shape(self, rendition: str) -> Geometry:
        """The geometry of a rendition."""
        return self.shapes.get(rendition, self.geometry)


class Reader:
    """Samples of a shard set by index row. Hashes a shard before the first sample comes from it.

    Of a set in an object store it reads copies on this machine (`shelf.py`).
    """

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        self.contract = read_contract(folder)
        table = read_index(folder, self.contract)
        self.columns: dict[str, Any] = {
            name: table.column(name).combine_chunks() for name in table.column_names
        }
        self._numbers = np.stack([self.columns[name].to_numpy() for name in NUMBERS], axis=1)
        self.geometry = {b: bucket_geometry(self.contract, b) for b in self.contract["buckets"]}
        self.shapes = {b: sample_shapes(self.contract, b) for b in self.contract["buckets"]}
        self.facts = {shard["name"]: shard for shard in self.contract["shards"]}
        self.reading = ""  # what is being read now, for the message when it stalls
        self.steps = 0  # rises as long as something is read
        self._open: OrderedDict[str, int] = OrderedDict()
        self._lock = (
            threading.Lock()
        )  # an old iterator's thread may still read when a new one starts

    def entry(self, row: int) -> Entry:
        """The index row `row`."""
        columns = self.columns
        texts = {name: columns[name][row].as_py() for name in TEXTS}
        numbers = dict(zip(NUMBERS, self._numbers[row].tolist(), strict=True))
        classes = tuple(columns["classes"][row].as_py())
        return Entry(**texts, **numbers, seconds=columns["seconds"][row].as_py(), classes=classes)

    def sample(self, row: int, visit: int = 0) -> Sample:
        """Read and check one sample. Raises ShardError naming shard and clip."""
        entry = self.entry(row)
        self.reading = f"shard {entry.shard}, clip {entry.key}"
        with self._lock:
            descriptor = self._descriptor(entry)
            info, tensors = read_sample(descriptor, entry, self.shapes[entry.bucket])
        self.step()
        renditions = self.geometry[entry.bucket]
        videos = {name: tensors[f"{name}.video"] for name in renditions}
        stds = {n: tensors[key] for n in renditions if (key := f"{n}.video_std") in tensors}
        return Sample(
            clip_id=entry.key,
            visit=visit,
            bucket=entry.bucket,
            geometry=next(iter(renditions.values())),
            videos=videos,
            audio=tensors.get("audio"),
            text={n.removeprefix("text."): t for n, t in tensors.items() if n.startswith("text.")},
            info=info,
            stds=stds,
            shapes=renditions,
        )

    def step(self) -> None:
        """Note that reading goes on."""
        self.steps += 1

    def fetch(self, name: str) -> None:
        """Copy a shard to this machine ahead of its first sample; a failure shows when it is read.

        Touches nothing that `sample` uses: other threads may call it.
        """
        with suppress(OSError, ShardError, StorageError):
            os.close(open_shard(self.folder / f"{name}.tar", self.facts[name], self.step))

    def close(self) -> None:
        """Close the shards."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _descriptor(self, entry: Entry) -> int:
        name = entry.shard
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        path = self.folder / f"{name}.tar"
        facts = self.facts.get(name)
        if facts is None:
            raise ShardError(name, "extra", "the contract does not name this shard", entry.key)
        try:
            descriptor = open_shard(path, facts, self.step)
        except OSError as error:
            detail = f"{error.strerror or error}"
            raise ShardError(name, "missing", detail, entry.key) from error
        try:
            if isinstance(path, Path):  # of a copy the hash was checked as it was made
                self._verify(path, descriptor, facts, entry)
        except BaseException:
            os.close(descriptor)
            raise
        while len(self._open) >= OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        self._open[name] = descriptor
        return descriptor

    @staticmethod
    def _verify(path: Path, descriptor: int, facts: dict[str, Any], entry: Entry) -> None:
        stat = os.fstat(descriptor)
        state = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if state in _verified:
            return
        if stat.st_size != facts["bytes"]:
            detail = f"{stat.st_size} of {facts['bytes']} bytes"
            raise ShardError(facts["name"], "cut", detail, entry.key)
        if sha256_file(path) != facts["sha256"]:
            detail = "its hash is not the contract's; `reelmill verify` says where it is damaged"
            raise ShardError(facts["name"], "damaged", detail, entry.key)
        _verified.add(state)


@dataclass
class Stream:
    """Batches of a shard set for one rank.

    `cost` gives a sample's cost from its bucket's geometry (by rendition); batches of all buckets
    then cost about the same and `global_batch` is that of the most common bucket. Batches are
    multiples of `granularity`; a `world` that divides it shares them out evenly, and none may be
    above it. `wants` says of which visits another clip of the same film and bucket is read too
    (`Sample.other`). Raises ValueError for settings that are not possible.
    """

    folder: Place
    seed: int
    global_batch: int
    rank: int = 0
    world: int = 1
    split: str = "train"
    cost: Callable[[dict[str, Geometry]], float] | None = None
    granularity: int | None = None
    prefetch: int = 2  # batches read ahead
    stall_s: float = 60.0  # a read that takes longer is an error, not a hang
    wants: Callable[[str, int], bool] | None = None  # of clip id and visit
    sizes: dict[str, int] = field(init=False)  # samples of a global batch, by bucket

    def __post_init__(self) -> None:
        self.granularity = self.granularity or math.gcd(self.global_batch, DEFAULT_GRANULARITY)
        if not 0 <= self.rank < self.world <= self.granularity:
            raise ValueError(
                f"rank {self.rank} of world={self.world}: the world must be 1 to granularity="
                f"{self.granularity}, which must divide global_batch={self.global_batch}"
            )
        self.reader = Reader(self.folder)
        self.contract = self.reader.contract
        splits = self.reader.columns["split"].to_numpy(zero_copy_only=False)
        self._rows = np.flatnonzero(splits == self.split).astype(np.int64)
        if not len(self._rows):
            raise ValueError(f"{self.folder} has no sample of split {self.split!r}")
        shards, _ = self._numbers("shard")
        buckets, names = self._numbers("bucket")
        costs = [self.cost(self.reader.geometry[b]) if self.cost else 1.0 for b in names]
        counts = np.bincount(buckets, minlength=len(names)).tolist()
        sizes = batch_sizes(costs, counts, self.global_batch, self.granularity)
        self.sizes = dict(zip(names, sizes, strict=True))
        self.plan = Plan(shards, buckets, sizes, self.seed)
        self._others = companions(self.reader.columns, self._rows) if self.wants else None

    def length(self, epoch: int) -> int:
        """Global batches of an epoch."""
        return self.plan.length(epoch)

    def rows(self, cursor: Cursor) -> list[tuple[int, int]]:
        """The (index row, visit) that this rank has in the global batch at `cursor`."""
        batch = self.plan.batch(cursor.epoch, cursor.batch)
        size = len(batch.rows)
        mine = slice(*(size * n // self.world for n in (self.rank, self.rank + 1)))
        rows = self._rows[batch.rows[mine]]
        return list(zip(rows.tolist(), batch.visits[mine].tolist(), strict=True))

    def sample(self, row: int, visit: int) -> Sample:
        """One visit, with another clip of its film where that is wanted and there is one."""
        sample = self.reader.sample(row, visit)
        if self.wants is None or self._others is None or not self.wants(sample.clip_id, visit):
            return sample
        other = self._others.of(row, Draw(self.seed, sample.clip_id, visit))
        return sample if other is None else replace(sample, other=self.reader.sample(other))

    def batches(
        self, cursor: Cursor | None = None
    ) -> Generator[tuple[Cursor, list[Sample]], None, None]:
        """Endless (cursor after the batch, this rank's samples), from `cursor` on.

        A thread reads ahead; the order does not depend on it. Raises ShardError for damage and
        TimeoutError naming the shard when a read takes longer than `stall_s`.
        """
        ready: queue.Queue[tuple[Cursor, list[Sample]] | BaseException] = queue.Queue(self.prefetch)
        stop = threading.Event()
        thread = threading.Thread(
            target=self._read_ahead, args=(cursor or Cursor(), ready, stop), daemon=True
        )
        thread.start()
        steps = -1
        try:
            while True:
                try:
                    item = ready.get(timeout=self.stall_s)
                except queue.Empty:
                    if steps != self.reader.steps:  # many reads, or a large copy
                        steps = self.reader.steps
                        continue
                    raise TimeoutError(
                        f"reading {self.reader.reading} took more than {self.stall_s:g} s"
                    ) from None
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            while not ready.empty():
                ready.get_nowait()
            thread.join(timeout=1)

    def cursors(self, cursor: Cursor) -> Iterator[tuple[Cursor, Cursor]]:
        """Endless (cursor of a batch, cursor after it). A batch outside its epoch's end raises."""
        epoch, batch = cursor.epoch, cursor.batch
        if epoch < 0 or not 0 <= batch <= self.length(epoch):
            raise ValueError(
                f"{cursor} is outside its epoch, which has {self.length(epoch)} batches"
            )
        while True:
            length = self.length(epoch)
            if batch >= length:
                epoch, batch = epoch + 1, 0
                continue
            following = Cursor(epoch, batch + 1) if batch + 1 < length else Cursor(epoch + 1, 0)
            yield Cursor(epoch, batch), following
            batch += 1

    def _read_ahead(self, cursor: Cursor, ready: "queue.Queue[Any]", stop: threading.Event) -> None:
        with ExitStack() as closing:
            try:
                ahead = None
                if isinstance(self.folder, Remote):
                    ahead = closing.enter_context(_Ahead(self, cursor))
                for here, after in self.cursors(cursor):
                    if ahead is not None:
                        ahead.go_on()
                    samples = [self.sample(row, visit) for row, visit in self.rows(here)]
                    if not _put(ready, (after, samples), stop):
                        return
            except Exception as error:  # the consumer raises it
                _put(ready, error, stop)

    def _numbers(self, column: str) -> tuple[Any, list[str]]:
        """A text column of this split's rows as numbers, and the sorted values they stand for."""
        values = self.reader.columns[column].take(self._rows).dictionary_encode()
        names = values.dictionary.to_pylist()
        place = {name: number for number, name in enumerate(sorted(names))}
        numbers = np.array([place[name] for name in names], dtype=np.int64)
        return numbers[values.indices.to_numpy()], sorted(names)


class _Ahead:
    """Copies the shards of the batches that come, so that a block of new shards is no pause."""

    def __init__(self, stream: Stream, cursor: Cursor) -> None:
        self._reader, self._stream = stream.reader, stream
        self._cursors = stream.cursors(cursor)
        self._names = stream.reader.columns["shard"]
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._pool = ThreadPoolExecutor(COPIES)
        for _ in range(AHEAD):
            self.go_on()

    def go_on(self) -> None:
        """Ask for the shards of one batch more."""
        here, _ = next(self._cursors)
        for row, _ in self._stream.rows(here):
            name = self._names[row].as_py()
            if name not in self._asked:
                self._pool.submit(self._reader.fetch, name)
            self._asked[name] = None
            self._asked.move_to_end(name)
        while len(self._asked) > OPEN_FILES:
            self._asked.popitem(last=False)

    def __enter__(self) -> "_Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def forget_verified() -> None:
    """Hash every shard again at its next opening, as a new process would."""
    _verified.clear()


def _put(ready: "queue.Queue[Any]", item: object, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
