"""Progress of long work: a bar with time left on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S = 5.0
Advance = Callable[..., None]


def say(text: str) -> None:
    """One line for the person who runs this, on standard error, so that output stays clean."""
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(text)


@contextmanager
def progress(title: str, total: int | None, unit: str = "items") -> Iterator[Advance]:
    """Show work of `total` units; yields advance(n=1, note="").

    The note stands beside the bar (a loss, a file id). Without a terminal a line is printed every
    few seconds, so that job logs stay short.
    """
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(title, total=total, note="")

            def advance(n: int = 1, note: str = "") -> None:
                bars.update(task, advance=n, note=note)

            yield advance
        return
    yield _Lines(title, total, unit)


class _Lines:
    def __init__(self, title: str, total: int | None, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self.start = self.last = time.monotonic()

    def __call__(self, n: int = 1, note: str = "") -> None:
        self.done += n
        now = time.monotonic()
        finished = self.total is not None and self.done >= self.total
        if now - self.last < LINE_EVERY_S and not finished:
            return
        self.last = now
        elapsed = now - self.start
        left = ""
        if self.total and self.done and not finished:
            left = f", {elapsed / self.done * (self.total - self.done):.0f} s left"
        of = f"/{self.total}" if self.total is not None else ""
        say(f"{self.title}: {self.done}{of} {self.unit}, {elapsed:.0f} s{left} {note}".rstrip())
