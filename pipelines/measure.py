"""What the scan does on Ray: measure films in actors, one a core, long ones in parts.

Rows between stages hold paths, ids and scores as JSON text; no frame travels through Ray.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import ray.data
from ray.data import ActorPoolStrategy

from curation.film_parts import Measured, Part, held, parts_of
from curation.film_spans import Wanted, film_spans
from curation.media import MediaReader
from curation.places import Place
from curation.records import Reason, RejectedError, Status
from pipelines import attempts, cluster
from pipelines.attempts import Remote, begun, starting
from pipelines.cuts import Speech, windows
from pipelines.ledger import Row
from pipelines.scan_config import ScanConfig, outcome, refused, split_of

MOST_BLOCKS = 4_000  # Ray's cost per block matters beyond; below it one film is one block
LOCAL_ACTORS, MOST_ACTORS = 64, 1_024


class Measurer:
    """One actor: a guarded decoder and the shot net, used for film after film."""

    def __init__(self, config: dict[str, Any], watch: Any) -> None:  # noqa: ANN401 - a Ray handle
        # 5 s of picture and sound that the driver need not import
        import cv2  # noqa: PLC0415

        from curation.shots import transnet  # noqa: PLC0415

        cv2.setNumThreads(1)
        self._config = ScanConfig(**config)
        self._watch = Remote(watch)
        self._reader = MediaReader(self._config.limits)
        with starting(self._watch):
            self._net = transnet()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Measure the parts of `batch`; each gives one JSON row whatever happens to it."""
        return {"part": [json.dumps(self.measure(json.loads(text))) for text in batch["part"]]}

    def measure(self, source: Row) -> Row:
        """{source: row, number, measured} of one part of a film; a refusal becomes its row."""
        speech = Speech.from_ms(source.pop("speech"))
        part = Part(*source.pop("part"))
        name = source["path"]
        if part.of > 1:
            name = f"{source['source_id']} {part}: {name}"
        row = {"source": source, "number": part.number}
        try:
            with (
                begun(self._watch, name),
                film_spans(self._reader, source, spans_of(part)) as path,
            ):
                return row | {"measured": asdict(self._part(source, path, speech, part))}
        except RejectedError as error:
            return row | {"source": refused(source, error.reason, error.detail)}
        except Exception as error:
            detail = RejectedError(Reason.INTERNAL, f"{type(error).__name__}: {error}").detail
            return row | {"source": refused(source, Reason.INTERNAL, detail)}

    def _part(self, source: Row, path: str, speech: Speech, part: Part) -> Measured:
        from curation.film import measure_part  # noqa: PLC0415

        config = self._config
        return measure_part(
            self._reader,
            path,
            source["source_id"],
            config,
            lambda start, end: windows(start, end, config.window, speech),
            config.window.fps,
            self._net,
            part,
        )


def spans_of(part: Part) -> Wanted:
    """What is fetched of a film in an object store for a part."""
    if part.of == 1:
        return None
    return lambda probe: held(part, probe.seconds, probe.video.fps if probe.video else 0.0)


def whole_film(config: ScanConfig, name: str, parts: list[Row]) -> Row:
    """{source: row, clips: rows, scores: rows} of a film from its parts, in order.

    One part that is refused refuses the film. `name` is the fingerprint of `config`.
    """
    from curation.film import joined  # noqa: PLC0415 - 2 s that a driver pays at the first film

    source = parts[0]["source"]
    if failed := [part["source"] for part in parts if "measured" not in part]:
        return {"source": failed[0]}
    film = joined([Measured(**part["measured"]) for part in parts])
    row = source | film.facts | {"clips": len(film.clips)}
    if not film.clips:
        need = config.window.frames[0] / config.window.fps
        detail = f"no shot of {film.facts['seconds']} s holds a window of {need:g} s"
        return {"source": row | outcome(Status.FILTERED, Reason.TOO_SHORT, detail)}
    common = {
        "path": source["path"],
        "split": split_of(source["source_id"], config.val_share),
        "fingerprint": name,
    }
    clips = [clip | common for clip in film.clips]
    return {"source": row | outcome(Status.OK), "clips": clips, "scores": film.scores}


def measure_all(
    config: ScanConfig,
    films: list[Row],
    speech: dict[str, Row] | None = None,
    deaths: Place | None = None,
) -> Iterator[Row]:
    """Measured films in the order in which they are done; the largest are begun first.

    `speech` holds what cuts respect, by source_id: spans in milliseconds, 14 bytes a word;
    `deaths` is the file of films that killed a worker.
    """
    if not films:
        return
    quiet_ray_data()
    films = sorted(films, key=lambda row: (-row["bytes"], row["path"]))
    shares = {row["path"]: parts_of(row["bytes"], config.part_mb) for row in films}
    spans = speech or {}
    items = [
        {
            "part": json.dumps(
                row | {"speech": spans.get(row["source_id"], {}), "part": (part.number, part.of)}
            )
        }
        for row in films
        for part in shares[row["path"]]
    ]
    blocks = min(len(items), MOST_BLOCKS)
    data = ray.data.from_items(items, override_num_blocks=blocks)
    with attempts.watching(deaths) as watch:
        measured = data.map_batches(
            Measurer,
            fn_constructor_args=(config.model_dump(mode="json"), watch),
            batch_size=1,
            num_cpus=1,
            compute=pool(config.workers, len(items)),
        )
        rows = (json.loads(row["part"]) for row in measured.iter_rows())
        name = config.fingerprint()
        for parts in gathered(rows, {path: len(share) for path, share in shares.items()}):
            yield whole_film(config, name, parts)


def gathered(rows: Iterable[Row], parts: dict[str, int]) -> Iterator[list[Row]]:
    """The parts of each film in order, as soon as all of them are there; `parts` by path."""
    waiting: dict[str, list[Row]] = {}
    for row in rows:
        path = row["source"]["path"]
        there = waiting.setdefault(path, [])
        there.append(row)
        if len(there) == parts[path]:
            yield sorted(waiting.pop(path), key=lambda part: int(part["number"]))


def pool(workers: int, parts: int) -> ActorPoolStrategy:
    """One actor a core: decoding is single-threaded, and more workers beat more threads.

    Locally the pool is fixed, and an actor has one task at a time: a second in its queue is one of
    the longest while others idle. On a cluster it may grow, and queues are how Ray sees the need.
    """
    now = max(1, min(parts, workers or cluster.cpus()))
    if cluster.is_local():
        return ActorPoolStrategy(size=min(now, LOCAL_ACTORS), max_tasks_in_flight_per_actor=1)
    most = max(now, min(parts, workers or MOST_ACTORS))
    return ActorPoolStrategy(min_size=1, initial_size=now, max_size=most)


def quiet_ray_data() -> None:
    """Our own lines are the output; a failing block is our bug and ends the run (never dropped)."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = 0
