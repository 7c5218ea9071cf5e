"""The count of beginnings that outlives a worker. An actor of its own, so it imports nothing."""

from collections import Counter


class Attempts:
    """Counts how often each film or shard was begun; an actor, so workers' deaths lose nothing."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """Count one more beginning and return the number so far."""
        self._counts[name] += 1
        return self._counts[name]
