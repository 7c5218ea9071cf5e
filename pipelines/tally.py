"""What became of the inputs of a pass: `in = ok + filtered + failed + skipped`, asserted.

Three ways out of one count: a line for the person who waits, a JSON line a pass in
`<data>/metrics/passes.jsonl` with the same as a Prometheus text file beside it, and live counters
of Ray, which its dashboards and Prometheus read while a pass runs.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from curation.files import write_bytes, write_text
from curation.places import Place
from curation.progress import say
from curation.records import Status

MOST_RUNS = 2_000  # lines that are kept, 0.5 KB each
PASSES, GAUGES = "passes.jsonl", "reelmill.prom"
FIELDS = {"run", "pass", "unit", "ended", "seconds", "rate", "inputs", "status", "reasons"}
GAUGE = {
    "inputs": "inputs of the last run of a pass by what became of them",
    "reasons": "inputs of the last run of a pass by reason",
    "seconds": "how long the last run of a pass took",
    "rate": "inputs a second of the last run, without those that an earlier run had done",
    "ended": "when the last run of a pass ended, seconds since 1970",
}


class Tally:
    """Counts one status for every input of one pass, begun at `start` (monotonic) or now."""

    def __init__(self, title: str, unit: str, total: int, start: float | None = None) -> None:
        self.title, self.unit, self.total = title, unit, total
        self.status: Counter[Status] = Counter()
        self.reasons: Counter[str] = Counter()
        self.earlier = 0
        self.start = time.monotonic() if start is None else start
        self.took = 0.0

    def add(self, status: str, reason: str | None = None, earlier: bool = False) -> None:
        """Count one input; `earlier` says that a run before this one did its work."""
        self.status[Status(status)] += 1
        self.earlier += earlier
        if reason:
            self.reasons[reason] += 1
        if not earlier:
            count_live(self.title, Status(status), reason or "")

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

    @property
    def rate(self) -> float:
        """Inputs a second that this run itself worked on."""
        return (self.total - self.earlier) / self.took if self.took else 0.0

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
        self.took = time.monotonic() - self.start
        say(self.line(note))

    def export(self, folder: Place, run: str) -> None:
        """Add this run of the pass to `passes.jsonl`, and write all passes' last runs as gauges."""
        known = read_passes(folder)
        known.append(
            {
                "run": run,
                "pass": self.title,
                "unit": self.unit,
                "ended": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(self.took, 3),
                "rate": round(self.rate, 4),
                "inputs": self.total,
                "earlier": self.earlier,
                "status": {str(status): self.status[status] for status in Status},
                "reasons": dict(self.reasons.most_common()),
            }
        )
        known = known[-MOST_RUNS:]
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in known]
        write_text(folder / PASSES, "".join(lines))
        write_bytes(folder / GAUGES, gauges(known))


def read_passes(folder: Place) -> list[dict[str, Any]]:
    """What the passes counted, a dictionary a run, oldest first; [] before the first.

    A line that is none of ours is left out: a pass must not end for the sake of its metrics.
    """
    path, found = folder / PASSES, []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and set(value) >= FIELDS:
            found.append(value)
    return found


def gauges(passes: list[dict[str, Any]]) -> bytes:
    """The last run of each pass in Prometheus' text format, for a textfile collector."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest  # noqa: PLC0415

    registry = CollectorRegistry()
    labels = {"inputs": ("status",), "reasons": ("reason",)}
    made = {
        name: Gauge(
            f"reelmill_pass_{name}",
            about,
            ("run", "pass", "unit", *labels.get(name, ())),
            registry=registry,
        )
        for name, about in GAUGE.items()
    }
    last = {(line["run"], line["pass"]): line for line in passes}
    for line in last.values():
        who = (line["run"], line["pass"], line["unit"])
        for status, count in line["status"].items():
            made["inputs"].labels(*who, status).set(count)
        for reason, count in line["reasons"].items():
            made["reasons"].labels(*who, reason).set(count)
        made["seconds"].labels(*who).set(line["seconds"])
        made["rate"].labels(*who).set(line["rate"])
        made["ended"].labels(*who).set(datetime.fromisoformat(line["ended"]).timestamp())
    return generate_latest(registry)


def count_live(title: str, status: Status, reason: str) -> None:
    """Count an input in Ray's metrics, where Ray runs in this process.

    Only failures carry their reason, which is one of a closed list: a label of every text that was
    ever written would be a time series each.
    """
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        why = reason if status == Status.FAILED else ""
        live_counter().inc(1, {"pass": title, "status": str(status), "reason": why})


@cache
def live_counter() -> Any:  # noqa: ANN401 - ray.util.metrics.Counter
    """`ray_reelmill_inputs_total` in Ray's own Prometheus endpoint."""
    from ray.util.metrics import Counter as RayCounter  # noqa: PLC0415

    return RayCounter(
        "reelmill_inputs", "Inputs that passes have settled.", tag_keys=("pass", "status", "reason")
    )
