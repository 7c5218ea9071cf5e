"""The count of beginnings that outlives a worker. An actor of its own, so it imports nothing."""

from collections import Counter


class Attempts:
    """Counts how often each film was begun: outside the workers, so that it survives them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, path: str) -> int:
        """Count one more beginning and return the number so far."""
        self._counts[path] += 1
        return self._counts[path]
