"""Caps on kinds."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.balance import over_cap
from pipelines.policy import Balance


def clips(kinds, **columns):
    ids = [f"c{i:04d}" for i in range(len(kinds))]
    seconds = np.full(len(kinds), 3600.0)
    return pa.table({"clip_id": ids, "seconds": seconds, "licence": kinds, **columns})


@pytest.mark.parametrize(
    ("sizes", "most"),
    [((60, 30, 10), 0.5), ((60, 30, 10), 0.4), ((90, 5, 5), 0.34), ((50, 50), 0.5)],
)
def test_no_kind_exceeds_its_share_and_nothing_more_is_lost(sizes, most):
    """A cap that is computed from the hours before the cut, and so is passed after it."""
    names = [name for name, size in zip("abc", sizes, strict=False) for _ in range(size)]
    alive = np.ones(len(names), dtype=bool)
    over, why = over_cap(Balance(by=("licence",), most=most), clips(names), alive)
    left = np.array([np.sum((np.array(names) == n) & ~over) for n in "abc"])
    assert left.max() <= most * left.sum() + 1  # whole clips
    assert all(w for w in why[over])
    # One more of the largest kind would pass the cap: nothing was dropped for nothing.
    cut = np.array((*sizes, 0)[:3]) - left
    if cut.any():
        assert left.max() + 1 > most * (left.sum() + 1) - 1


def test_the_best_of_a_full_kind_stay():
    """A cap that drops by order of arrival."""
    score = np.arange(20) % 10 / 10.0
    table = clips(["a"] * 16 + ["b"] * 4, motion=score)
    alive = np.ones(20, dtype=bool)
    over, _ = over_cap(Balance(by=("licence",), most=0.6, best="motion"), table, alive)
    assert score[:16][~over[:16]].min() >= score[:16][over[:16]].max()
    assert not over[16:].any()


def test_the_lot_does_not_depend_on_order():
    """A choice that changes with the order of the rows or with clips dropped by other rules."""
    names = ["a"] * 30 + ["b"] * 10
    alive = np.ones(40, dtype=bool)
    rule = Balance(by=("licence",), most=0.5)
    table = clips(names)
    over, _ = over_cap(rule, table, alive)
    back = np.arange(40)[::-1]
    again, _ = over_cap(rule, table.take(back), alive)
    assert (again[::-1] == over).all()


def test_too_few_kinds_for_the_cap_are_refused():
    """Two kinds of which neither may exceed a third: nothing could be kept."""
    with pytest.raises(ValueError, match=r"most must be at least 0\.5"):
        over_cap(Balance(by=("licence",), most=0.3), clips(["a", "b"]), np.ones(2, dtype=bool))


def test_names_that_are_missing_are_a_kind_of_their_own():
    """Clips without a class that escape every cap."""
    names = [None] * 8 + ["b"] * 4
    over, why = over_cap(Balance(by=("licence",), most=0.5), clips(names), np.ones(12, dtype=bool))
    assert over[:8].sum() == 4
    assert "unknown" in why[np.flatnonzero(over)[0]]
