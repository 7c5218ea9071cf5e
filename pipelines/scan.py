"""The scan: find films, hash, decode once, cut clips, score them, commit to the ledger.

Stages: find (here) → hash (Ray tasks) → measure (one actor a core: a guarded decoder, the shot net)
→ commit in small batches as results arrive → mark repeats, compact. The Ray parts are hashing.py
and measure.py, imported only when there is something to do: a rerun takes no time.
"""

from curation.progress import progress
from curation.records import Reason, RejectedError, Status
from curation.sources import Source, find_sources
from pipelines.batches import committed
from pipelines.ledger import Ledger, Row
from pipelines.repeats import mark_repeats
from pipelines.scan_config import ScanConfig, outcome
from pipelines.speech import cut_rules, score_clips
from pipelines.tally import Tally

AGAIN = {
    Reason.UNREADABLE,
    Reason.INTERNAL,
}  # what a rerun tries again: neither is the film's fault


def scan(config: ScanConfig, ledger: Ledger) -> Tally:
    """Scan what is not yet in the ledger.

    Raises ValueError when a source is not there, or was not heard although cuts respect words.
    """
    found = find_sources(config.sources)
    tally = Tally("scan", "films", len(found))
    name = config.fingerprint()
    done = finished(ledger, name, found)
    for row in done.values():
        tally.add(row["status"], row["reason"], earlier=True)
    pending = [source for source in found if source.path not in done]
    if pending:
        from pipelines import cluster, hashing, measure  # noqa: PLC0415 - Ray: a rerun need not pay

        cluster.start()
        hashed = hashing.hash_all([new_row(source, name) for source in pending])
        rows, films = settle_known(hashed, done, ledger.taken_down())
        speech = cut_rules(ledger, config.words, films) if config.words else None
        commit(ledger, name, [{"source": row} for row in rows])
        tally.add_all(rows)
        measured = measure.measure_all(config, films, speech)
        with progress("scan", len(films), "films") as advance:
            for film in committed(
                measured,
                lambda some: commit(ledger, name, some),
                lambda film: advance(1, film["source"]["source_id"]),
            ):
                tally.add(film["source"]["status"], film["source"]["reason"])
    finish(ledger, name)
    clips = ledger.clips(name)
    if config.words:
        score_clips(ledger, config.words, clips.to_pylist())
    seconds = sum(
        e - s for s, e in zip(*(clips[c].to_pylist() for c in ("start_s", "end_s")), strict=True)
    )
    tally.close(f"{clips.num_rows} clips, {seconds / 3600:.3f} h; scores/scan@{name}")
    return tally


def finished(ledger: Ledger, name: str, found: list[Source]) -> dict[str, Row]:
    """Rows of films that need no work: same path, size and time, and nothing worth a retry.

    A caption or licence that a manifest changed since is taken over into the row.
    """
    rows = ledger.finished(name)
    done: dict[str, Row] = {}
    changed = []
    for source in found:
        row = rows.get(source.path)
        if row is None or row["reason"] in AGAIN:
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
