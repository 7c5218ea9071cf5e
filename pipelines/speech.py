"""The speech pass: whole films heard before the scan cuts them, sound only.

Stages: find (here) → hash (Ray tasks) → listen (one actor a core) → commit in small batches. One
row a film in `words@<fingerprint>`: the scan cuts between its words, and clips get their columns
from it.
"""

from collections.abc import Collection, Iterator
from typing import Any

from curation.media import Limits
from curation.progress import progress
from curation.records import Reason, RejectedError, Status
from curation.sources import Source, find_sources
from curation.speech.words import from_json, protected
from curation.spoken import SPOKEN, spoken_scores
from pipelines.attempts import deaths_file
from pipelines.batches import committed
from pipelines.budget import ERROR_BUDGET, Budget
from pipelines.ledger import Ledger, Row
from pipelines.retry import counted, wanted
from pipelines.scan_config import outcome
from pipelines.speech_config import ListenConfig, SpeechConfig
from pipelines.tally import Tally

PLACE = ("path", "bytes", "mtime_ns")


def speech(
    config: SpeechConfig,
    sources: list[str],
    limits: Limits,
    ledger: Ledger,
    error_budget: float = ERROR_BUDGET,
    replay: Collection[str] = (),
) -> Tally:
    """Hear what is not yet in the ledger; with `replay`, films that failed for these reasons.

    Raises ValueError for a wrong source or environment; BudgetError as the scan does.
    """
    table = config.table()
    assert table is not None, "no engine is asked for"
    found = find_sources(sources)
    known = {row["path"]: row for row in ledger.rows(table)}
    done = finished(known, found, replay)
    pending = [s for s in found if s.path not in done]
    if replay:
        pending = [s for s in pending if wanted(known.get(s.path), replay)]
    tally = Tally("speech", "films", len(pending) if replay else len(found))
    for row in () if replay else done.values():
        tally.add(row["status"], row["reason"], earlier=True)
    if pending:
        from pipelines import cluster, hashing, listen  # noqa: PLC0415 - Ray: a rerun need not pay

        cluster.start()
        budget = Budget("films", error_budget)
        hashed = hashing.hash_all([new_row(source) for source in pending], known, budget)
        settled, films = settle(hashed, done, known, ledger.taken_down())
        ledger.append(table, settled)
        tally.add_all(settled)
        budget.check()
        budget = Budget("films", error_budget)
        deaths = deaths_file(ledger.folder, table, replay)
        listening = ListenConfig(speech=config, limits=limits)
        heard = (
            counted(row, known.get(row["path"]))
            for row in listen.listen_all(listening, films, deaths)
        )
        with progress("speech", len(films), "films") as advance:
            for row in committed(
                heard,
                lambda some: ledger.append(table, some),
                lambda row: advance(1, row["source_id"]),
            ):
                tally.add(row["status"], row["reason"])
                budget.add_all([row])
        deaths.unlink(missing_ok=True)
        ledger.compact(table)
    rows = ledger.read(table)
    words, voiced = (sum(filter(None, rows[c].to_pylist())) for c in ("words", "voiced_s"))
    tally.close(f"{words} words in {voiced / 3600:.3f} h of voice; {table}")
    return tally


def new_row(source: Source) -> Row:
    """The first columns of a words row."""
    return {name: getattr(source, name) for name in PLACE}


def finished(
    known: dict[str, Row], found: list[Source], replay: Collection[str] = ()
) -> dict[str, Row]:
    """Rows of films that need no work: same path, size and time, and nothing to be tried again."""
    done = {}
    for source in found:
        row = known.get(source.path)
        if row is None or wanted(row, replay):
            continue
        if (row["bytes"], row["mtime_ns"]) == (source.bytes, source.mtime_ns):
            done[source.path] = row
    return done


def settle(
    hashed: list[Row], done: dict[str, Row], known: dict[str, Row], gone: set[str]
) -> tuple[list[Row], list[Row]]:
    """(rows that are settled, films to hear): the same bytes are heard once, wherever they lie.

    A film that was moved or touched keeps its words; a second copy is skipped, and so are those of
    `gone` films.
    """
    first = {r["source_id"]: p for p, r in sorted(done.items()) if r["status"] != Status.SKIPPED}
    heard = {r["source_id"]: r for r in known.values() if r["status"] == Status.OK}
    settled, films = [], []
    for row in hashed:
        row.pop("clips", None)
        if row["status"] == Status.FAILED:
            settled.append(row)
        elif row["source_id"] in gone:
            settled.append(row | outcome(Status.SKIPPED, Reason.TAKEN_DOWN))
        elif (same := first.setdefault(row["source_id"], row["path"])) != row["path"]:
            detail = RejectedError(Reason.DUPLICATE, f"the same bytes as {same}").detail
            settled.append(row | outcome(Status.SKIPPED, Reason.DUPLICATE, detail))
        elif row["source_id"] in heard:
            settled.append(heard[row["source_id"]] | {name: row[name] for name in PLACE})
        else:
            films.append(row)
    return settled, films


def transcripts(ledger: Ledger, table: str) -> Iterator[tuple[str, str]]:
    """(source_id, JSON of its transcript) of every film that was heard."""
    for batch in ledger.read(table).select(["source_id", "status", "transcript"]).to_batches():
        for row in batch.to_pylist():
            if row["status"] == Status.OK:
                yield row["source_id"], row["transcript"]


def cut_rules(ledger: Ledger, table: str, films: list[Row]) -> dict[str, dict[str, Any]]:
    """What cuts respect, by source_id, for `films`: spans in milliseconds, no text.

    Raises ValueError for films that were not heard yet; one that was refused has no words.
    """
    ids = {film["source_id"] for film in films}
    if unheard := ids - set(ledger.read(table)["source_id"].to_pylist()):
        raise ValueError(
            f"{len(unheard)} of {len(ids)} films are not in {table}, so cuts would go through "
            "words; run `reelmill speech` with this recipe first"
        )
    return {
        source_id: protected(from_json(text))
        for source_id, text in transcripts(ledger, table)
        if source_id in ids
    }


def score_clips(ledger: Ledger, table: str, clips: list[Row]) -> int:
    """Write `scores/speech@<fingerprint>` for `clips`; returns how many films had words or silence.

    A clip of a film that was not heard has nulls. Written only where something differs.
    """
    name = f"scores/speech@{table.partition('@')[2]}"
    by_film: dict[str, list[Row]] = {}
    for clip in clips:
        by_film.setdefault(clip["source_id"], []).append(clip)
    rows = []
    films = 0
    for source_id, text in transcripts(ledger, table):
        if not (mine := by_film.pop(source_id, [])):
            continue
        heard = from_json(text)
        films += 1
        for clip in mine:
            scores = spoken_scores(heard, clip["start_s"], clip["end_s"])
            rows.append({"clip_id": clip["clip_id"]} | scores)
    nothing = dict.fromkeys(SPOKEN)
    rows += [{"clip_id": c["clip_id"]} | nothing for rest in by_film.values() for c in rest]
    ids = {row["clip_id"] for row in rows}
    ledger.replace(name, [r for r in ledger.rows(name) if r["clip_id"] not in ids] + rows)
    return films
