"""Name every film by its bytes, in plain Ray tasks.

Apart from measure.py: a worker that hashes imports this and not 10 s of picture and sound.
"""

from collections.abc import Mapping

import ray

from curation.progress import progress
from curation.records import RejectedError
from curation.sources import hash_source
from pipelines.budget import Budget
from pipelines.ledger import Row
from pipelines.retry import counted
from pipelines.scan_config import refused

ROWS_A_TASK = 16
WAITING = 1_000  # tasks handed to Ray at once


def hash_all(
    rows: list[Row], known: Mapping[str, Row] | None = None, budget: Budget | None = None
) -> list[Row]:
    """Source rows with ids, sorted by path; what cannot be read has its refusal already.

    `known` are earlier rows by path. Once the `budget` is spent no more are hashed; who gave it has
    to check it.
    """
    earlier = known or {}
    budget = budget or Budget("films", share=1.0)
    task = ray.remote(num_cpus=1)(hash_rows)
    starts = iter(range(0, len(rows), ROWS_A_TASK))
    running: list[ray.ObjectRef] = []
    hashed: list[Row] = []
    with progress("hash", len(rows), "films") as advance:
        while True:
            while not budget.spent and len(running) < WAITING:
                if (start := next(starts, None)) is None:
                    break
                running.append(task.remote(rows[start : start + ROWS_A_TASK]))
            if not running:
                return sorted(hashed, key=lambda row: str(row["path"]))
            ready, running = ray.wait(running)
            for rows_done in ray.get(ready):
                part = [counted(row, earlier.get(row["path"])) for row in rows_done]
                hashed += part
                for row in part:
                    budget.add(row)
                advance(len(part))


def hash_rows(rows: list[Row]) -> list[Row]:
    """The rows with `source_id`, or with the refusal of a film that cannot be read."""
    done = []
    for row in rows:
        try:
            done.append(row | {"source_id": hash_source(row["path"]), "status": None})
        except RejectedError as error:
            done.append(refused(row, error.reason, error.detail))
    return done
