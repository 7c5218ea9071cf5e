"""Another clip of the same film: where training takes references from when a set stores none."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.noise import Draw

SOURCE = 16  # characters of a clip id that name its film


@dataclass(frozen=True)
class Companions:
    """Index rows in the order of film and bucket, so that those of one film stand together."""

    rows: NDArray[np.int64]
    group: NDArray[np.int64]  # of each of `rows`: film and bucket
    where: NDArray[np.int64]  # index row -> place in `rows`

    def of(self, row: int, draw: Draw) -> int | None:
        """The index row of another clip of a film in the same bucket; None where there is none."""
        place = int(self.where[row])
        first = int(np.searchsorted(self.group, self.group[place], "left"))
        last = int(np.searchsorted(self.group, self.group[place], "right"))
        others = last - first - 1
        if not others:
            return None
        chosen = first + int(draw.uniform("companion") * others)
        return int(self.rows[chosen + (chosen >= place)])


def companions(columns: dict[str, Any], rows: NDArray[np.int64]) -> Companions:
    """The companions among some index rows. A row's does not depend on the order of the index."""
    taken = np.asarray(rows, np.int64)
    keys = np.array(columns["key"].take(taken).to_pylist())
    buckets = np.array(columns["bucket"].take(taken).to_pylist())
    films = keys.astype(f"<U{SOURCE}")
    order = np.lexsort((keys, buckets, films))
    same = (films[order][1:] == films[order][:-1]) & (buckets[order][1:] == buckets[order][:-1])
    group = np.concatenate([[0], np.cumsum(~same)]).astype(np.int64)
    where = np.full(int(taken.max()) + 1, -1, np.int64)
    where[taken[order]] = np.arange(len(taken))
    return Companions(taken[order], group, where)
