"""Clips made on Ray: one row is one request, one actor is one loaded checkpoint.

The actor writes its clip; only the request's JSON and the clip's name travel as rows.
"""

import json
from collections.abc import Iterator
from typing import Any, Protocol

import ray.data

from pipelines import cluster
from pipelines.ledger import Row
from pipelines.measure import pool, quiet_ray_data


class Actor(Protocol):
    """Makes one clip a row."""

    def __call__(self, row: Row) -> Row:
        """{request} -> {name, trouble}; an empty trouble is a clip that was made."""


def make_clips(
    actor: type[Actor],
    arguments: tuple[Any, ...],
    requests: list[Row],
    *,
    workers: int,
    threads: int,
    gpu: bool,
) -> Iterator[Row]:
    """{name, trouble} of each request in the order in which they are done.

    The table is cut into single rows, so a slow clip holds up no other.
    """
    cluster.start()
    quiet_ray_data()
    rows = [{"request": json.dumps(request)} for request in requests]
    data = ray.data.from_items(rows, override_num_blocks=len(rows))
    made = data.map(
        actor,
        fn_constructor_args=arguments,
        compute=pool(workers, len(rows)),
        num_cpus=threads,
        num_gpus=1 if gpu else 0,
    )
    yield from made.iter_rows()
