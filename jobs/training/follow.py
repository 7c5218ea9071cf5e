"""The progress bar of a run, drawn by the driver from what rank 0 logs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curation.progress import progress
from jobs.training.log import Tail

LOOK_EVERY_S = 0.5


@contextmanager
def following(log: Path, start: int, steps: int) -> Iterator[None]:
    """A progress bar from what rank 0 logs. It begins with the first step, or its estimate of what
    is left would count the start of the workers.
    """
    done = threading.Event()
    tail = Tail(log)
    tail.new()  # what an earlier start logged
    thread = threading.Thread(target=_follow, args=(tail, start, steps, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(5)


def _follow(tail: Tail, start: int, steps: int, done: threading.Event) -> None:
    waiting: list[dict[str, Any]] = []
    while not waiting and not done.wait(LOOK_EVERY_S):
        waiting = taken_after(tail, start)
    title = f"train from {start}" if start else "train"
    with progress(title, steps - start, "steps") as advance:
        while True:
            for line in waiting:
                advance(1, note_of(line))
                start = line["step"]
            if done.is_set():
                return
            done.wait(LOOK_EVERY_S)
            waiting = taken_after(tail, start)


def taken_after(tail: Tail, step: int) -> list[dict[str, Any]]:
    """New step lines beyond `step`; after a restart of the workers the log repeats itself."""
    return [line for line in tail.new() if line["kind"] == "step" and line["step"] > step]


def note_of(line: dict[str, Any]) -> str:
    """What stands beside the bar."""
    loss = f"loss {line['loss']:.4f}" if "loss" in line else "skipped"
    return f"{loss}, {line['samples_per_s']:.0f} samples/s"
