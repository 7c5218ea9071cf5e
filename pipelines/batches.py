"""Results of a pass made safe in small batches while it runs."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

COMMIT_S = 3.0  # what a kill of the driver may cost, besides what is in flight
COMMIT_ITEMS = 256

T = TypeVar("T")


def committed(
    items: Iterable[T], commit: Callable[[list[T]], None], told: Callable[[T], None]
) -> Iterator[T]:
    """Yield each item after `commit` took it in a batch; `told` hears of it when it arrives.

    Whoever stops taking items ends the work behind them.
    """
    waiting: list[T] = []
    last = time.monotonic()
    try:
        for item in items:
            waiting.append(item)
            told(item)
            if len(waiting) >= COMMIT_ITEMS or time.monotonic() - last > COMMIT_S:
                commit(waiting)
                yield from waiting
                waiting, last = [], time.monotonic()
        commit(waiting)
        yield from waiting
    finally:
        if isinstance(items, Generator):
            items.close()
