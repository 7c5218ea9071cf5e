"""The order of training: a pure function of (samples, seed, epoch), equal on every rank.

Each epoch visits every sample once, in shuffled blocks of shards. Per bucket the samples of all
epochs form one endless row that is cut into batches of that bucket's size; what an epoch leaves
over is the start of the next epoch's first batch. So no sample is dropped or repeated, and any
epoch's plan is computed from its number, without the epochs before it.

Letters: N samples, n batch size of a bucket.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK_SHARDS = 16  # shards mixed with each other: their page cache holds what is read next
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """A global batch: index rows of one bucket and how often each was seen before."""

    bucket: int
    rows: Ints
    visits: Ints


def permutation(count: int, *words: int | str) -> Ints:
    """A fixed permutation of range(count) named by `words`, the same on every machine.

    Sorted raw Philox output: numpy keeps bit generators stable across versions, not its shuffles.
    """
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=16).digest()
    raw = np.random.Philox(key=int.from_bytes(digest, "little")).random_raw(count)
    return np.argsort(raw, kind="stable").astype(np.int64)


def epoch_order(shards: Ints, seed: int, epoch: int) -> Ints:
    """The rows of one epoch, each once: shards [N] (a shard number a row) in shuffled blocks."""
    count = int(shards.max()) + 1 if len(shards) else 0
    rank = np.empty(count, dtype=np.int64)
    rank[permutation(count, "shards", seed, epoch)] = np.arange(count)
    within = permutation(len(shards), "samples", seed, epoch)
    block = rank[shards[within]] // BLOCK_SHARDS
    return within[np.argsort(block, kind="stable")]


def batch_sizes(
    costs: list[float], counts: list[int], global_batch: int, granularity: int
) -> list[int]:
    """Samples in a global batch of each bucket, multiples of `granularity`, equal in cost.

    The bucket with most samples gets `global_batch`, so the budget of a step is what those cost.
    Raises ValueError for a cost or a size that is not possible.
    """
    if granularity < 1 or global_batch < 1 or global_batch % granularity:
        raise ValueError(
            f"global_batch={global_batch} must be a positive multiple of granularity={granularity}"
        )
    if not all(np.isfinite(cost) and cost > 0 for cost in costs):
        raise ValueError(f"a bucket's cost must be a positive number, got {costs}")
    most = max(range(len(counts)), key=lambda i: (counts[i], -i))
    budget = costs[most] * global_batch
    whole = [int(budget / cost * (1 + 1e-9)) // granularity * granularity for cost in costs]
    return [max(granularity, size) for size in whole]


class Plan:
    """Global batches of any epoch. Keeps the orders of a few epochs: neighbours ask for them."""

    def __init__(self, shards: Ints, buckets: Ints, sizes: list[int], seed: int) -> None:
        self.shards, self.buckets, self.sizes, self.seed = shards, buckets, sizes, seed
        self.counts = np.bincount(buckets, minlength=len(sizes)).astype(np.int64)
        self._orders: dict[int, tuple[Ints, list[Ints]]] = {}
        self._finishes: dict[int, tuple[Ints, Ints]] = {}

    def length(self, epoch: int) -> int:
        """Global batches that epoch completes; 0 is possible when samples are few."""
        total = 0
        for count, size in zip(self.counts, self.sizes, strict=True):
            total += int((epoch + 1) * count // size - epoch * count // size)
        return total

    def batch(self, epoch: int, number: int) -> Batch:
        """Global batch `number` of an epoch. Raises IndexError beyond its length."""
        buckets, numbers = self._finish(epoch)
        bucket, k = int(buckets[number]), int(numbers[number])
        size, count = self.sizes[bucket], int(self.counts[bucket])
        places = np.arange(k * size, (k + 1) * size)
        visits = places // count
        rows = np.empty(size, dtype=np.int64)
        for visit in np.unique(visits):
            mine = visits == visit
            rows[mine] = self._order(int(visit))[1][bucket][places[mine] % count]
        return Batch(bucket, rows, visits)

    def _finish(self, epoch: int) -> tuple[Ints, Ints]:
        """By batch of the epoch: its bucket and its number in the bucket's endless row.

        A batch comes where its last sample stands in the epoch's order, so buckets alternate as
        their samples do.
        """
        if epoch not in self._finishes:
            order, _ = self._order(epoch)
            ends, buckets, numbers = [], [], []
            for bucket, size in enumerate(self.sizes):
                count = int(self.counts[bucket])
                first, last = epoch * count // size, (epoch + 1) * count // size
                ks = np.arange(first, last, dtype=np.int64)
                where = np.flatnonzero(self.buckets[order] == bucket)
                ends.append(where[(ks + 1) * size - 1 - epoch * count])
                buckets.append(np.full(len(ks), bucket, dtype=np.int64))
                numbers.append(ks)
            by_end = np.argsort(np.concatenate(ends), kind="stable")
            _keep(self._finishes, epoch, 2)
            by_number = np.concatenate(buckets)[by_end], np.concatenate(numbers)[by_end]
            self._finishes[epoch] = by_number
        return self._finishes[epoch]

    def _order(self, epoch: int) -> tuple[Ints, list[Ints]]:
        """The epoch's rows, all and by bucket."""
        if epoch not in self._orders:
            order = epoch_order(self.shards, self.seed, epoch)
            by_bucket = [order[self.buckets[order] == b] for b in range(len(self.sizes))]
            _keep(self._orders, epoch, 3)
            self._orders[epoch] = (order, by_bucket)
        return self._orders[epoch]


def _keep(cache: dict[int, Any], key: int, most: int) -> None:
    """Make room in a small cache: drop the entries farthest from `key`."""
    while len(cache) >= most:
        del cache[max(cache, key=lambda other: abs(other - key))]
