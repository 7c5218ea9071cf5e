"""What is tried again, by any rerun or by `reelmill replay`, and how often it was tried."""

from collections.abc import Collection
from typing import Any

from curation.records import Reason, Status
from pipelines.attempts import DEATHS

Row = dict[str, Any]  # the ledger's, without Arrow, which a recipe need not load

# None of these is the input's fault: any rerun tries them again.
AGAIN = frozenset({Reason.UNREADABLE, Reason.INTERNAL, Reason.NO_MODEL, Reason.CAPTIONER})


def dead(row: Row) -> bool:
    """Whether a row is a dead letter: its input failed, or nobody was there to look at it."""
    fine = row["status"] in (Status.OK, Status.FILTERED, Status.SKIPPED)
    reason = row.get("reason")
    return reason is not None and (not fine or reason == Reason.NO_MODEL)


def again(reason: str, replay: Collection[str] = ()) -> bool:
    """Whether what failed for `reason` is tried again: in a replay, or else in any rerun."""
    return reason in (replay or AGAIN)


def wanted(row: Row | None, replay: Collection[str] = ()) -> bool:
    """Whether an input whose row is `row` is to be worked on.

    With reasons to `replay`, only what has failed for one of them; else what has no row yet, or one
    that any rerun tries again.
    """
    if row is None:
        return not replay
    return dead(row) and again(row["reason"], replay)


def counted(row: Row, earlier: Row | None) -> Row:
    """`row`, and if it failed the number of attempts so far; `earlier` is the row that it replaces.

    Rows of a ledger older than the count stand for one attempt.
    """
    if not dead(row) or row["reason"] == Reason.NO_MODEL:
        return row | {"attempts": None}
    before = 0
    if earlier is not None and dead(earlier):
        before = earlier["attempts"] or 1
    return row | {"attempts": before + tries(row["reason"])}


def tries(reason: str) -> int:
    """How many attempts a failed row of this run stands for."""
    return DEATHS if reason == Reason.WORKER_DIED else 1
