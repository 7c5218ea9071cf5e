"""A local copy of a film that may hold only some spans of it, and can be made whole."""

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from threading import Lock

from curation.records import Reason, RejectedError
from curation.stores import StorageError

SLACK_S = 0.5  # beyond a span: it was fetched with wider margins, and requests are rounded

Spans = Sequence[tuple[float, float | None]]  # seconds; None is the film's end


class Copy:
    """The film at `path`; with `spans` it holds only these until `fetch` writes all of it."""

    def __init__(
        self, path: str, spans: Spans = (), fetch: Callable[[Path], None] | None = None
    ) -> None:
        self.path, self._spans, self._fetch = path, spans, fetch
        self._lock = Lock()

    def covers(self, start: float, end: float | None) -> bool:
        """Whether what is shown and heard from start to end is here."""
        until = inf if end is None else end - SLACK_S
        return self.whole or any(
            first - SLACK_S <= start and until <= (inf if last is None else last)
            for first, last in self._spans
        )

    @property
    def whole(self) -> bool:
        """Whether all of the film is here."""
        return self._fetch is None

    def complete(self) -> None:
        """Make it whole. Raises RejectedError(unreadable)."""
        with self._lock:
            if self._fetch is None:
                return
            local = Path(self.path)
            whole = local.with_name("whole")
            try:
                self._fetch(whole)
            except (OSError, StorageError) as error:
                raise RejectedError(Reason.UNREADABLE, str(error)) from error
            whole.replace(local)
            self._fetch = None
