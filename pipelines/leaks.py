"""What must not be trained on because a held-out clip shows or sounds the same.

Films are split whole, but the same song, or a second copy of a film, may lie on the other side.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

REPEATS = ("duplicate_of", "sound_of", "alike_of")  # columns that name the clip that one repeats
HELD_OUT = "val"


def leaking(
    clips: pa.Table, alive: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.object_]]:
    """(training clips that repeat a held-out one, directly or through others; why), [clips] both.

    Only clips that are `alive` count: a copy that a rule dropped leaks nothing.
    """
    count = clips.num_rows
    why = np.full(count, None, object)
    if "split" not in clips.column_names:
        return np.zeros(count, dtype=bool), why
    pairs = [named(clips, column) for column in REPEATS if column in clips.column_names]
    edges = np.concatenate([*pairs, np.zeros((0, 2), np.int64)])
    if not len(edges):
        return np.zeros(count, dtype=bool), why
    graph = coo_array((np.ones(len(edges), np.int8), edges.T), shape=(count, count))
    _, group = connected_components(graph, directed=False)
    held = np.asarray(pc.equal(clips["split"], HELD_OUT).fill_null(fill_value=False))
    first = np.full(group.max() + 1, -1)
    val = np.flatnonzero(held & alive)
    first[group[val][::-1]] = val[::-1]
    leak = alive & ~held & (first[group] >= 0)
    ids = clips["clip_id"].take(first[group[leak]]).to_pylist()
    why[leak] = [f"repeats the held-out clip {name}" for name in ids]
    return leak, why


def named(clips: pa.Table, column: str) -> NDArray[np.int64]:
    """(clip, the clip it repeats) as row numbers [K,2], without names that are not in the table."""
    there = pc.index_in(clips[column], value_set=clips["clip_id"].combine_chunks())
    rows = np.flatnonzero(np.asarray(pc.and_(pc.is_valid(clips[column]), pc.is_valid(there))))
    if not rows.size:
        return np.zeros((0, 2), np.int64)
    return np.stack([rows, there.take(rows).to_numpy()], axis=1)
