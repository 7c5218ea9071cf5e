"""The run's own log: one JSON line an event in `metrics.jsonl`, written by rank 0, read by anyone.

It is the truth of the run; tracking servers get a copy. Kinds: start, step, validation, samples,
bad, checkpoint. Lines are in order of `step`.
"""

import json
import time
from pathlib import Path
from typing import Any

from curation.files import write_text

Line = dict[str, Any]
LOG = "metrics.jsonl"  # in the folder of a run


class MetricsLog:
    """Appends lines. Opening it for a run that resumes after `step` drops what came later."""

    def __init__(self, path: Path, step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            kept = [line for line in read(path) if line["step"] <= step]
            write_text(path, "".join(_dump(line) for line in kept))
        self.handle = path.open("a", encoding="utf-8")

    def add(self, kind: str, step: int, **values: Any) -> None:  # noqa: ANN401 - any JSON value
        """Write one line now."""
        self.handle.write(_dump({"kind": kind, "step": step, "time": time.time(), **values}))
        self.handle.flush()

    def close(self) -> None:
        """Close the file."""
        self.handle.close()


class Tail:
    """Reads the lines that were added since the last look, however often the file is replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inode, self.offset = 0, 0

    def new(self) -> list[Line]:
        """New whole lines. After a replacement the file is read from its start again."""
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return []
        if facts.st_ino != self.inode or facts.st_size < self.offset:
            self.inode, self.offset = facts.st_ino, 0
        with self.path.open("rb") as handle:
            handle.seek(self.offset)
            data = handle.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


def read(path: Path) -> list[Line]:
    """All whole lines of a log; a last line cut by a kill is left out."""
    return Tail(path).new()


def _dump(line: Line) -> str:
    return json.dumps(line, sort_keys=True) + "\n"
