"""The scan: find films, hash, decode once, cut clips, score them, commit to the ledger.

Stages: find (driver) → hash (Ray tasks) → measure (one actor a core: a guarded decoder, the shot
net) → commit in small batches as results arrive → mark repeats, compact. Rows between them hold
paths, ids and scores as JSON text; no frame travels through Ray.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import cv2
import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from curation.film import Row, measure_film
from curation.likeness import find_repeats
from curation.media import MediaReader
from curation.progress import progress
from curation.records import Reason, RejectedError, Status
from curation.shots import transnet
from curation.sources import Source, find_sources, hash_source, local_copy
from pipelines import cluster
from pipelines.ledger import Ledger
from pipelines.scan_config import ScanConfig, windows
from pipelines.tally import Tally

COMMIT_S = 3.0  # what a kill of the driver may cost, besides the films in flight
COMMIT_FILMS = 256
DEATHS = 2  # of the worker on one film, before the film is refused
MOST_BLOCKS = 4_000  # Ray's cost per block matters beyond; below it one film is one block
LOCAL_ACTORS, MOST_ACTORS = 64, 1_024
AGAIN = {
    Reason.UNREADABLE,
    Reason.INTERNAL,
}  # what a rerun tries again: neither is the film's fault


class Attempts:
    """Counts how often each film was begun: outside the workers, so that it survives them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, path: str) -> int:
        """Count one more beginning and return the number so far."""
        self._counts[path] += 1
        return self._counts[path]


class Measurer:
    """One actor: a guarded decoder and the shot net, used for film after film."""

    def __init__(self, config: dict[str, Any], attempts: Any) -> None:  # noqa: ANN401 - a Ray handle
        cv2.setNumThreads(1)
        self._config = ScanConfig(**config)
        self._fingerprint = self._config.fingerprint()
        self._attempts = attempts
        self._reader = MediaReader(self._config.limits)
        self._net = transnet()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Measure the films of `batch`; each gives one JSON row whatever happens to it."""
        return {"film": [json.dumps(self.measure(json.loads(text))) for text in batch["source"]]}

    def measure(self, source: Row) -> Row:
        """{source: row, clips: rows, scores: rows} of one film; a refusal becomes its row."""
        if ray.get(self._attempts.begin.remote(source["path"])) > DEATHS:
            detail = f"its worker died {DEATHS} times; the film was left alone after that"
            return {"source": refused(source, Reason.DECODER_CRASH, detail)}
        try:
            with local_copy(source["path"]) as path:
                return self._film(source, path)
        except RejectedError as error:
            return {"source": refused(source, error.reason, error.detail)}
        except Exception as error:
            detail = RejectedError(Reason.INTERNAL, f"{type(error).__name__}: {error}").detail
            return {"source": refused(source, Reason.INTERNAL, detail)}

    def _film(self, source: Row, path: str) -> Row:
        config = self._config
        film = measure_film(
            self._reader,
            path,
            source["source_id"],
            config,
            lambda start, end: windows(start, end, config.window),
            config.window.fps,
            self._net,
        )
        row = source | film.facts | {"clips": len(film.clips)}
        if not film.clips:
            need = config.window.frames[0] / config.window.fps
            detail = f"no shot of {film.facts['seconds']} s holds a window of {need:g} s"
            return {"source": row | outcome(Status.FILTERED, Reason.TOO_SHORT, detail)}
        common = {
            "path": source["path"],
            "split": split_of(source["source_id"], config.val_share),
            "fingerprint": self._fingerprint,
        }
        clips = [clip | common for clip in film.clips]
        return {"source": row | outcome(Status.OK), "clips": clips, "scores": film.scores}


def outcome(status: Status, reason: Reason | None = None, detail: str | None = None) -> Row:
    """The status columns of a row."""
    return {"status": status, "reason": reason, "detail": detail}


def refused(source: Row, reason: Reason, detail: str) -> Row:
    """The row of a film that failed."""
    return source | outcome(Status.FAILED, reason, detail) | {"clips": 0}


def split_of(source_id: str, val_share: float) -> str:
    """Train or val: all clips of a film on one side, whatever else is in the data set."""
    return "val" if int(source_id[:8], 16) / 2**32 < val_share else "train"


def scan(config: ScanConfig, ledger: Ledger) -> Tally:
    """Scan what is not yet in the ledger. Raises ValueError when a source is not there."""
    found = find_sources(config.sources)
    tally = Tally("scan", "films", len(found))
    name = config.fingerprint()
    done = finished(ledger, name, found)
    for row in done.values():
        tally.add(row["status"], row["reason"], earlier=True)
    pending = [source for source in found if source.path not in done]
    if pending:
        cluster.start()
        hashed = hash_all(pending, name)
        rows, films = settle_known(hashed, done)
        commit(ledger, name, [{"source": row} for row in rows])
        tally.add_all(rows)
        for result in committed(ledger, name, measure_all(config, films), len(films)):
            tally.add(result["status"], result["reason"])
    finish(ledger, name)
    clips = ledger.clips(name)
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


def hash_all(pending: list[Source], name: str) -> list[Row]:
    """Source rows with ids; what cannot be read has its refusal already."""
    rows = [
        {
            "path": s.path,
            "bytes": s.bytes,
            "mtime_ns": s.mtime_ns,
            "caption": s.caption,
            "licence": s.licence,
            "fingerprint": name,
        }
        for s in pending
    ]
    quiet_ray_data()
    items = [{"source": json.dumps(row)} for row in rows]
    blocks = max(1, min(len(items), 8 * cluster.cpus()))
    data = ray.data.from_items(items, override_num_blocks=blocks)
    hashed = data.map_batches(hash_batch, batch_size=16)
    return sorted((json.loads(r["source"]) for r in hashed.iter_rows()), key=lambda r: r["path"])


def hash_batch(batch: dict[str, Any]) -> dict[str, list[str]]:
    """A Ray task: source rows as JSON text, with `source_id` or a refusal added."""
    rows = []
    for text in batch["source"]:
        row = json.loads(text)
        try:
            row |= {"source_id": hash_source(row["path"]), "status": None}
        except RejectedError as error:
            row = refused(row, error.reason, error.detail)
        rows.append(json.dumps(row))
    return {"source": rows}


def settle_known(hashed: list[Row], done: dict[str, Row]) -> tuple[list[Row], list[Row]]:
    """(rows that are settled, films to decode): the same bytes are decoded under one path only."""
    first = {
        row["source_id"]: path
        for path, row in sorted(done.items())
        if row["status"] != Status.SKIPPED
    }
    settled, films = [], []
    for row in hashed:
        if row["status"] == Status.FAILED:
            settled.append(row)
        elif (same := first.setdefault(row["source_id"], row["path"])) != row["path"]:
            detail = RejectedError(Reason.DUPLICATE, f"the same bytes as {same}").detail
            settled.append(row | outcome(Status.SKIPPED, Reason.DUPLICATE, detail) | {"clips": 0})
        else:
            films.append(row)
    return settled, films


def measure_all(config: ScanConfig, films: list[Row]) -> Iterator[Row]:
    """Measured films in the order in which they are done; the largest are begun first."""
    if not films:
        return
    films = sorted(films, key=lambda row: (-row["bytes"], row["path"]))
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    items = [{"source": json.dumps(row)} for row in films]
    blocks = min(len(items), MOST_BLOCKS)
    data = ray.data.from_items(items, override_num_blocks=blocks)
    measured = data.map_batches(
        Measurer,
        fn_constructor_args=(config.model_dump(mode="json"), attempts),
        batch_size=1,
        num_cpus=1,
        compute=pool(config.workers, len(films)),
    )
    for row in measured.iter_rows():
        yield json.loads(row["film"])


def pool(workers: int, films: int) -> ActorPoolStrategy:
    """One actor a core: decoding is single-threaded, and more workers beat more threads.

    Locally the pool is fixed. On a cluster it may grow, so that the autoscaler sees the need.
    """
    now = max(1, min(films, workers or cluster.cpus()))
    if cluster.is_local():
        return ActorPoolStrategy(size=min(now, LOCAL_ACTORS))
    most = max(now, min(films, workers or MOST_ACTORS))
    return ActorPoolStrategy(min_size=1, initial_size=now, max_size=most)


def quiet_ray_data() -> None:
    """Our own lines are the output; a failing block is our bug and ends the run (never dropped)."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = 0


def committed(ledger: Ledger, name: str, films: Iterator[Row], total: int) -> Iterator[Row]:
    """Commit results as they come; yields the source row of each film after it is safe."""
    waiting: list[Row] = []
    last = time.monotonic()
    with progress("scan", total, "films") as advance:
        for film in films:
            waiting.append(film)
            advance(1, film["source"]["source_id"])
            if len(waiting) >= COMMIT_FILMS or time.monotonic() - last > COMMIT_S:
                commit(ledger, name, waiting)
                yield from (f["source"] for f in waiting)
                waiting, last = [], time.monotonic()
        commit(ledger, name, waiting)
        yield from (f["source"] for f in waiting)


def commit(ledger: Ledger, name: str, films: list[Row]) -> None:
    """Write what films gave: their own row last: it must not claim clips that are not there."""
    ledger.append("clips", [clip for film in films for clip in film.get("clips", [])])
    scores = [score for film in films for score in film.get("scores", [])]
    ledger.append(f"scores/scan@{name}", scores)
    ledger.append("sources", [film["source"] for film in films])


def finish(ledger: Ledger, name: str) -> None:
    """Mark repeats among all clips of this scan, and fold what was appended into sorted parts."""
    ledger.compact("sources")
    ledger.compact("clips")
    scores = ledger.read(f"scores/scan@{name}")
    if not scores.num_rows:
        return
    clips = {row["clip_id"]: row for row in ledger.clips(name).to_pylist()}
    ids = scores["clip_id"].to_pylist()
    hashes = [
        h if contrast and contrast > 0.01 else None  # the hash of a flat picture is noise
        for h, contrast in zip(
            scores["phash"].to_pylist(), scores["contrast"].to_pylist(), strict=True
        )
    ]
    # The larger picture is the better copy; between equals the id decides.
    rank = [(-clips[i]["width"] * clips[i]["height"], i) if i in clips else (0, i) for i in ids]
    repeats = find_repeats(hashes, rank)
    column = pa.array(
        [ids[repeats[i]] if i in repeats else None for i in range(len(ids))], pa.string()
    )
    place = scores.schema.get_field_index("duplicate_of")
    ledger.replace(f"scores/scan@{name}", scores.set_column(place, "duplicate_of", column))
