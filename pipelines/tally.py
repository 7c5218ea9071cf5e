"""What became of the inputs of a pass: `in = ok + filtered + failed + skipped`, asserted."""

import time
from collections import Counter
from collections.abc import Iterable

from curation.progress import say
from curation.records import Status


class Tally:
    """Counts one status for every input of one pass, begun at `start` (monotonic) or now."""

    def __init__(self, title: str, unit: str, total: int, start: float | None = None) -> None:
        self.title, self.unit, self.total = title, unit, total
        self.status: Counter[Status] = Counter()
        self.reasons: Counter[str] = Counter()
        self.earlier = 0
        self.start = time.monotonic() if start is None else start

    def add(self, status: str, reason: str | None = None, earlier: bool = False) -> None:
        """Count one input; `earlier` says that a run before this one did its work."""
        self.status[Status(status)] += 1
        self.earlier += earlier
        if reason:
            self.reasons[reason] += 1

    def add_all(self, rows: Iterable[dict[str, str]]) -> None:
        """Count rows that have `status` and `reason`."""
        for row in rows:
            self.add(row["status"], row["reason"])

    @property
    def rejected(self) -> float:
        """Share of the inputs that failed: what the recipe's max_rejected bounds."""
        return self.status[Status.FAILED] / self.total if self.total else 0.0

    @property
    def unanswered(self) -> float:
        """Share that failed of the inputs that a model was to answer for: those not left out."""
        tried = self.status[Status.FAILED] + self.status[Status.OK]
        return self.status[Status.FAILED] / tried if tried else 0.0

    def line(self, note: str = "") -> str:
        """The summary line. Raises AssertionError when an input has no status or two."""
        counts = {s: self.status[s] for s in Status}
        assert sum(counts.values()) == self.total, f"{self.title}: {self.total} in, {counts} out"
        parts = " + ".join(f"{n} {s}" for s, n in counts.items())
        why = ", ".join(f"{n} {reason}" for reason, n in self.reasons.most_common(6))
        extra = "; ".join(
            text
            for text in (why, f"{self.earlier} done before" if self.earlier else "", note)
            if text
        )
        took = f" in {time.monotonic() - self.start:.1f} s"
        end = f" ({extra})" if extra else ""
        return f"{self.title}: {self.total} {self.unit} = {parts}{took}{end}"

    def close(self, note: str = "") -> None:
        """Print the summary line."""
        say(self.line(note))
