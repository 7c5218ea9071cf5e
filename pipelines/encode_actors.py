"""Shards made by Ray Data: one row is one planned shard, one actor is one set of networks.

No pixel and no latent travels through the object store; an actor writes its shard and commits it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.data

from curation.media import Limits
from pipelines import attempts, cluster
from pipelines.attempts import Remote, starting
from pipelines.encode_clip import ClipEncoder
from pipelines.encode_config import EncodeConfig
from pipelines.encode_plan import Task
from pipelines.measure import pool, quiet_ray_data


class EncodeShard:
    """The actor of the pass: loads the networks once, makes one shard a row."""

    def __init__(
        self,
        config: EncodeConfig,
        limits: Limits | None,
        folder: str,
        watch: Any,  # noqa: ANN401 - a Ray handle
    ) -> None:
        watch = Remote(watch)
        with starting(watch):
            self.encoder = ClipEncoder(config, limits, watch)
        self.folder = Path(folder)

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        """Make and commit the shard of `row`."""
        task = Task.from_row(row)
        side = self.encoder.shard(task, self.folder)
        failed = side["failures"]
        return {"shard": task.shard, "clips": len(task.clips), "failed": json.dumps(failed)}


def make_shards(
    tasks: list[Task], config: EncodeConfig, limits: Limits | None, folder: Path, deaths: Path
) -> Iterator[dict[str, Any]]:
    """Make and commit the shards of `tasks`; yields {shard, clips, failed} as each is done.

    `failed` are the failures of the shard; `deaths` is the file of clips that killed a worker.
    """
    cluster.start()
    quiet_ray_data()
    gpus = int(ray.cluster_resources().get("GPU", 0))
    data = ray.data.from_items([task.row() for task in tasks], override_num_blocks=len(tasks))
    with attempts.watching(deaths) as watch:
        made = data.map(
            EncodeShard,
            fn_constructor_args=(config, limits, str(folder.resolve()), watch),
            compute=pool(config.workers or gpus, len(tasks)),
            num_cpus=1,
            num_gpus=1 if gpus else 0,
        )
        for row in made.iter_rows():
            yield row | {"failed": json.loads(row["failed"])}
