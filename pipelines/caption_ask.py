"""Ask a model about every clip once: what is missing is asked, answers are kept as they come.

The ledger's table `scores/answers@<fingerprint>` has one row a clip: the status, and the typed
description as JSON. A row stands for one evidence: with another transcript the clip is asked again.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from curation.captions.answer import CaptionStatus, Outcome
from curation.captions.config import LLMConfig
from curation.captions.request import EVIDENCE, Seen, evidence, look
from curation.files import fingerprint
from curation.film_spans import clips_film
from curation.media import Limits, MediaReader
from curation.progress import Advance, progress, say
from curation.records import Reason, RejectedError
from curation.scores import CROP, crop_of
from pipelines.ledger import Ledger, Row
from pipelines.retry import counted, wanted

COMMIT_S = 3.0  # what a kill may cost, besides the requests in flight
COMMIT_ROWS = 256
CLIPS_A_TASK = 8  # clips of one film that go to an actor together: a film is opened once for them

# Scores of a clip that a model is told of, or that decide what it is shown.
TOLD = {*EVIDENCE, *CROP, "word_times", "hallucination"}
FILE = ("bytes", "mtime_ns")  # of a source: is it still the file that was scanned?

Keep = Callable[[Row], None]


def scanned_files(ledger: Ledger, scan: str) -> dict[str, Row]:
    """Source rows of one scan by path."""
    return {row["path"]: row for row in ledger.rows("sources") if row["fingerprint"] == scan}


def answers(
    config: LLMConfig,
    ledger: Ledger,
    clips: list[Row],
    files: dict[str, Row],
    limits: Limits,
    replay: Collection[str] = (),
) -> dict[str, Row]:
    """The answer rows of `clips` by id; those that are not in the ledger yet are asked for.

    `files` are source rows by path. With `replay` only what failed for these reasons is asked for,
    and others may have no row. Raises ServerError when the model cannot be asked; what was answered
    is kept.
    """
    name = f"scores/answers@{config.fingerprint()}"
    for clip in clips:
        clip |= {key: files.get(clip["path"], {}).get(key) for key in FILE}
        crop = crop_of(clip)  # decides what the model is shown, as evidence does what it is told
        clip["asked"] = fingerprint([evidence(clip), crop] if crop else evidence(clip))
    known = {row["clip_id"]: row for row in ledger.rows(name)}
    pending = [c for c in clips if pends(c, known.get(c["clip_id"]), replay)]
    if pending:
        with Keeper(ledger, name, len(pending), known) as keep:
            ask_all(config, pending, limits, keep)
    ledger.compact(name)
    known = {row["clip_id"]: row for row in ledger.rows(name)}
    return {c["clip_id"]: known[c["clip_id"]] for c in clips if c["clip_id"] in known}


def pends(clip: Row, row: Row | None, replay: Collection[str]) -> bool:
    """Whether a clip is to be asked about: again, or for the first time with this evidence."""
    stale = row is not None and row["asked"] != clip["asked"]
    return wanted(row, replay) or (stale and not replay)


def ask_all(config: LLMConfig, clips: list[Row], limits: Limits, keep: "Keeper") -> None:
    """Ask through the configured back end; each imports what only it needs."""
    films: dict[str, list[Row]] = {}
    for clip in clips:
        films.setdefault(clip["path"], []).append(clip)
    if config.backend == "server":
        from pipelines.caption_server import ask_server  # noqa: PLC0415

        say(f"{config.section.partition('.')[0]}: " + ask_server(config, films, limits, keep))
        return
    from pipelines import cluster  # noqa: PLC0415

    cluster.start()
    tasks = [
        {"path": path, "clips": group[at : at + CLIPS_A_TASK]}
        for path, group in films.items()
        for at in range(0, len(group), CLIPS_A_TASK)
    ]
    if config.backend == "transformers":
        from pipelines.caption_actors import ask_actors  # noqa: PLC0415

        rows = ask_actors(config, tasks, limits)
    else:
        from pipelines.caption_vllm import ask_vllm  # noqa: PLC0415

        rows = ask_vllm(config, tasks, limits)
    for row in rows:
        keep(row)


class Keeper:
    """Commits answer rows in small batches, and what is left at the end, whatever ended it."""

    def __init__(
        self, ledger: Ledger, name: str, total: int, known: dict[str, Row] | None = None
    ) -> None:
        self._ledger, self._name, self._total = ledger, name, total
        self._known = known or {}
        self._waiting: list[Row] = []
        self._last = time.monotonic()
        self._progress = progress("ask", total, "clips")
        self._advance: Advance | None = None
        self.seen: Counter[str] = Counter()

    def __enter__(self) -> "Keeper":
        self._advance = self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._commit()
        self._progress.__exit__(kind, error, trace)
        if error is None:
            twice = [i for i, n in self.seen.items() if n > 1]
            assert not twice, f"answered twice: {twice[:3]}"
            assert len(self.seen) == self._total, f"{self._total} asked, {len(self.seen)} answered"

    def __call__(self, row: Row) -> None:
        """Keep one answer row."""
        self.seen[row["clip_id"]] += 1
        self._waiting.append(counted(row, self._known.get(row["clip_id"])))
        if self._advance:
            self._advance(1, row["clip_id"])
        if len(self._waiting) >= COMMIT_ROWS or time.monotonic() - self._last > COMMIT_S:
            self._commit()

    def _commit(self) -> None:
        self._ledger.append(self._name, self._waiting)
        self._waiting, self._last = [], time.monotonic()


def answer_row(clip: Row, outcome: Outcome, teller: str) -> Row:
    """The ledger row of one outcome."""
    reason = None
    if outcome.status != CaptionStatus.OK:
        reason = Reason.CAPTIONER if outcome.unreachable else Reason.BAD_CAPTION
    told = outcome.told
    return {
        "clip_id": clip["clip_id"],
        "asked": clip["asked"],
        "status": outcome.status,
        "reason": reason,
        "detail": outcome.detail or None,
        "teller": teller,
        "record": told.model_dump_json() if told else None,
    }


def refused_row(clip: Row, error: RejectedError, teller: str) -> Row:
    """The row of a clip that nobody could be shown."""
    outcome = Outcome(CaptionStatus.FAILED, detail=error.detail)
    return answer_row(clip, outcome, teller) | {"reason": error.reason}


def show(config: LLMConfig, reader: MediaReader, film: str, clip: Row) -> Seen:
    """What the configured model gets to see and hear; nothing where it reads alone.

    Raises RejectedError.
    """
    if not config.sees:
        return Seen((), (), None, clip["end_s"] - clip["start_s"])
    return look(reader, film, clip, config.frames, config.short_side, hear=config.sound)


def film_for(
    config: LLMConfig, reader: MediaReader, clips: list[Row]
) -> AbstractContextManager[str]:
    """A local path of the clips' film, '' where the model reads alone. Raises RejectedError."""
    return clips_film(reader, clips) if config.sees else nullcontext("")
