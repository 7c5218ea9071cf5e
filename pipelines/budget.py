"""A broken system ends a pass early: storage that is gone, a model that fails on everything.

A film that is corrupt is a row, however many there are. A cause that lies outside the films, and
passes its share of what a run has seen, stops the run: what is done stays, a rerun goes on.
"""

from collections import Counter
from collections.abc import Iterable

from curation.records import Reason, Status
from pipelines.retry import Row, tries

ERROR_BUDGET = 0.2  # as max_rejected: a run that would be refused at its end stops now
FEWEST = 20  # failures of one cause, before a share of them says anything

CURES = {
    Reason.UNREADABLE: "is the storage there, and may the workers read it?",
    Reason.NO_MODEL: "`reelmill doctor` says what is missing and how to get it",
    Reason.INTERNAL: "this is a bug or a broken installation: try `make setup`, report the example",
    Reason.CAPTIONER: "does the model that caption.llm names answer?",
    Reason.MEMORY_LIMIT: "raise scan.limits.memory_mb; `reelmill replay --reason memory_limit` "
    "then tries these again",
    Reason.WORKER_DIED: "workers need more memory, or fewer of them (workers); "
    "`reelmill replay --reason worker_died` then tries these again",
}


class BudgetError(RuntimeError):
    """A cause that is not the inputs' fault used up its share; the message has it and a cure."""


class Budget:
    """Counts the rows of one run of a pass; a judge of its own counts as a pass of its own."""

    def __init__(self, unit: str, share: float = ERROR_BUDGET) -> None:
        self.unit, self.share = unit, share
        self._seen: Counter[str] = Counter()
        self._failed: Counter[tuple[str, Reason]] = Counter()
        self._example: dict[tuple[str, Reason], Row] = {}

    def add(self, row: Row, of: str = "") -> None:
        """Count a row of `of`. What failed before and fails again says nothing about this run."""
        failed = row["status"] in (Status.FAILED, Status.SKIPPED) and row["reason"] in CURES
        if failed and (row.get("attempts") or 1) > tries(row["reason"]):
            return
        self._seen[of] += 1
        if failed:
            cause = (of, Reason(row["reason"]))
            self._failed[cause] += 1
            self._example.setdefault(cause, row)

    def add_all(self, rows: Iterable[Row], of: str = "") -> None:
        """Count rows and check after each."""
        for row in rows:
            self.add(row, of)
            self.check()

    @property
    def spent(self) -> tuple[str, Reason] | None:
        """Of what, and the cause that used up its share, if any did."""
        over = (
            (of, cause)
            for (of, cause), count in self._failed.items()
            if count >= FEWEST and count > self.share * self._seen[of]
        )
        return next(over, None)

    def check(self) -> None:
        """Raise BudgetError when a cause has used up its share."""
        if (found := self.spent) is None:
            return
        of, cause = found
        row = self._example[found]
        example = row.get("path") or row.get("clip_id")
        raise BudgetError(
            f"stopped: {self._failed[found]} of {self._seen[of]} {self.unit}"
            f"{f' of {of}' if of else ''} failed as {cause}, more than error_budget = "
            f"{self.share:.0%}, and that is not their own fault. For example {example}: "
            f"{row['detail']}. The cure: {CURES[cause]}. All that was done is kept; run the same "
            "command again to go on"
        )
