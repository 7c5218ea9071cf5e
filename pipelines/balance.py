"""Caps on kinds of clips, so that one concept or one class of sound does not drown the others."""

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.policy import Balance

UNKNOWN = "unknown"


def over_cap(
    balance: Balance, clips: pa.Table, alive: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.object_]]:
    """(which of the `alive` clips are above the cap of their kind, why), [clips] both.

    In a full kind the clips with the highest `best` stay, unknown ones last; without `best`, or
    between equals, the hash of the id decides, so the choice is the same in every run. Raises
    ValueError when there are too few kinds for the cap.
    """
    over = np.zeros(clips.num_rows, dtype=bool)
    why = np.full(clips.num_rows, None, object)
    names, kind = kinds(balance, clips)
    seconds = clips["seconds"].to_numpy()
    hours = np.bincount(kind[alive], seconds[alive], len(names)) / 3600
    if not alive.any():
        return over, why
    cap = fill(hours[hours > 0], balance)
    full = np.flatnonzero(hours > cap * (1 + 1e-9))
    if not full.size:
        return over, why
    mine = np.flatnonzero(alive & np.isin(kind, full))
    order = mine[preference(balance, clips, mine)]
    for number in full:
        members = order[kind[order] == number]
        gone = members[np.cumsum(seconds[members]) / 3600 > cap]
        over[gone] = True
        why[gone] = f"{names[number]}: {hours[number]:.4g} h, above the cap of {cap:.4g} h"
    return over, why


def kinds(balance: Balance, clips: pa.Table) -> tuple[list[str], NDArray[np.int64]]:
    """The kinds' names and the kind of each clip [clips]."""
    parts = []
    for name in balance.by:
        values = clips[name].to_pylist() if name in clips.column_names else [None] * clips.num_rows
        parts.append([(value or UNKNOWN).split(",")[0].strip() or UNKNOWN for value in values])
    labels = [" × ".join(words) for words in zip(*parts, strict=True)]
    names, kind = np.unique(np.array(labels, dtype=object), return_inverse=True)
    return names.tolist(), kind


def fill(hours: NDArray[np.float64], balance: Balance) -> float:
    """The cap c with sum(min(hours, c)) · most = c: the largest at which no kind exceeds `most`."""
    if len(hours) * balance.most < 1 - 1e-9:
        raise ValueError(
            f"policy.balance: {len(hours)} kinds of {' × '.join(balance.by)} cannot each stay "
            f"below {balance.most:g}; most must be at least {1 / len(hours):.3g}"
        )
    low = np.sort(hours)
    if low[-1] <= balance.most * low.sum():
        return float(np.inf)
    count, below = len(low), np.concatenate([[0.0], np.cumsum(low)])
    for full in range(1, count):  # the `full` largest kinds are cut to the cap
        room = 1 - full * balance.most
        cap = balance.most * below[count - full] / room if room > 0 else np.inf
        if cap >= low[count - full - 1] * (1 - 1e-12):
            return float(cap)
    raise AssertionError("a cap exists: count x most >= 1")


def preference(balance: Balance, clips: pa.Table, mine: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order in which `mine` are kept."""
    ids = clips["clip_id"].take(mine).to_pylist()
    lot = np.array([hashlib.blake2b(i.encode(), digest_size=8).digest() for i in ids])
    if not balance.best or balance.best not in clips.column_names:
        return np.argsort(lot, kind="stable")
    values = clips[balance.best].take(mine).cast(pa.float64()).to_numpy()
    return np.lexsort((lot, -np.nan_to_num(values, nan=-np.inf)))
