"""The scan: find films, hash, decode once, cut clips, score them, commit to the ledger.

Stages: find (here) → hash (Ray tasks) → measure (one actor a core: a guarded decoder, the shot net)
→ commit in small batches as results arrive → mark repeats, compact. The Ray parts are hashing.py
and measure.py, imported only when there is something to do: a rerun takes no time.
"""

from collections.abc import Collection

from curation.progress import progress
from curation.records import Reason, RejectedError, Status
from curation.sources import Source, find_sources
from pipelines.attempts import deaths_file
from pipelines.batches import committed
from pipelines.budget import ERROR_BUDGET, Budget
from pipelines.ledger import Ledger, Row
from pipelines.repeats import mark_repeats
from pipelines.retry import counted, wanted
from pipelines.scan_config import ScanConfig, outcome
from pipelines.speech import cut_rules, score_clips
from pipelines.tally import Tally


def scan(
    config: ScanConfig,
    ledger: Ledger,
    error_budget: float = ERROR_BUDGET,
    replay: Collection[str] = (),
) -> Tally:
    """Scan what is not yet in the ledger; with `replay`, films that failed for these reasons.

    Raises ValueError when a source is not there, or was not heard although cuts respect words;
    BudgetError when a cause that is not the films' fault meets more than a share of them.
    """
    found = find_sources(config.sources)
    name = config.fingerprint()
    known = ledger.finished(name)
    done = finished(ledger, known, found, replay)
    pending = [s for s in found if s.path not in done]
    if replay:
        pending = [s for s in pending if wanted(known.get(s.path), replay)]
    tally = Tally("scan", "films", len(pending) if replay else len(found))
    for row in () if replay else done.values():
        tally.add(row["status"], row["reason"], earlier=True)
    if pending:
        from pipelines import cluster, hashing, measure  # noqa: PLC0415 - Ray: a rerun need not pay

        cluster.start()
        budget = Budget("films", error_budget)
        hashed = hashing.hash_all([new_row(source, name) for source in pending], known, budget)
        rows, films = settle_known(hashed, done, ledger.taken_down())
        speech = cut_rules(ledger, config.words, films) if config.words else None
        commit(ledger, name, [{"source": row} for row in rows])
        tally.add_all(rows)
        budget.check()
        budget = Budget("films", error_budget)
        deaths = deaths_file(ledger.folder, f"scan@{name}", replay)
        measured = (
            film | {"source": counted(film["source"], known.get(film["source"]["path"]))}
            for film in measure.measure_all(config, films, speech, deaths)
        )
        with progress("scan", len(films), "films") as advance:
            for film in committed(
                measured,
                lambda some: commit(ledger, name, some),
                lambda film: advance(1, film["source"]["source_id"]),
            ):
                tally.add(film["source"]["status"], film["source"]["reason"])
                budget.add_all([film["source"]])
        deaths.unlink(missing_ok=True)
    finish(ledger, name)
    clips = ledger.clips(name)
    if config.words:
        score_clips(ledger, config.words, clips.to_pylist())
    seconds = sum(
        e - s for s, e in zip(*(clips[c].to_pylist() for c in ("start_s", "end_s")), strict=True)
    )
    tally.close(f"{clips.num_rows} clips, {seconds / 3600:.3f} h; scores/scan@{name}")
    return tally


def finished(
    ledger: Ledger, known: dict[str, Row], found: list[Source], replay: Collection[str] = ()
) -> dict[str, Row]:
    """Rows of films that need no work: same path, size and time, and nothing to be tried again.

    A caption or licence that a manifest changed since is taken over into the row.
    """
    done: dict[str, Row] = {}
    changed = []
    for source in found:
        row = known.get(source.path)
        if row is None or wanted(row, replay):
            continue
        if (row["bytes"], row["mtime_ns"]) != (source.bytes, source.mtime_ns):
            continue
        words = {"caption": source.caption, "licence": source.licence}
        if any(row[key] != value for key, value in words.items()):
            row |= words
            changed.append(row)
        done[source.path] = row
    ledger.append("sources", changed)
    return done


def new_row(source: Source, name: str) -> Row:
    """The first columns of a source row."""
    return vars(source) | {"fingerprint": name}


def settle_known(
    hashed: list[Row], done: dict[str, Row], gone: set[str]
) -> tuple[list[Row], list[Row]]:
    """(rows that are settled, films to decode): the same bytes are decoded under one path only,
    and those of `gone` films never.
    """
    first = {
        row["source_id"]: path
        for path, row in sorted(done.items())
        if row["status"] != Status.SKIPPED
    }
    settled, films = [], []
    for row in hashed:
        if row["status"] == Status.FAILED:
            settled.append(row)
        elif row["source_id"] in gone:
            settled.append(row | outcome(Status.SKIPPED, Reason.TAKEN_DOWN) | {"clips": 0})
        elif (same := first.setdefault(row["source_id"], row["path"])) != row["path"]:
            detail = RejectedError(Reason.DUPLICATE, f"the same bytes as {same}").detail
            settled.append(row | outcome(Status.SKIPPED, Reason.DUPLICATE, detail) | {"clips": 0})
        else:
            films.append(row)
    return settled, films


def commit(ledger: Ledger, name: str, films: list[Row]) -> None:
    """Write what films gave: their own row last: it must not claim clips that are not there."""
    ledger.append("clips", [clip for film in films for clip in film.get("clips", [])])
    scores = [score for film in films for score in film.get("scores", [])]
    ledger.append(f"scores/scan@{name}", scores)
    ledger.append("sources", [film["source"] for film in films])


def finish(ledger: Ledger, name: str) -> None:
    """Fold what was appended into sorted parts, and mark repeats among all clips of this scan."""
    ledger.compact("sources")
    ledger.compact("clips")
    mark_repeats(ledger, name)
