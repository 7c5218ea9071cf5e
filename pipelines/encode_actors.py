"""Shards made by Ray Data: one row is one planned shard, one actor is one set of networks.

No pixel and no latent travels through the object store; an actor writes its shard and commits it.
"""

import json
from collections.abc import Iterator
from typing import Any

import ray
import ray.data

from curation.media import Limits
from curation.places import Place, place
from curation.stores import StorageError
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
        self.folder = place(folder)

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        """Make and commit the shard of `row`; `trouble` is what the store failed with."""
        task = Task.from_row(row)
        made = {"shard": task.shard, "clips": len(task.clips)}
        try:
            failed = self.encoder.shard(task, self.folder)["failures"]
        except StorageError as error:
            return made | {"failed": "[]", "trouble": json.dumps(error.args)}
        return made | {"failed": json.dumps(failed), "trouble": ""}


def make_shards(
    tasks: list[Task], config: EncodeConfig, limits: Limits | None, folder: Place, deaths: Place
) -> Iterator[dict[str, Any]]:
    """Make and commit the shards of `tasks`; yields {shard, clips, failed} as each is done.

    `failed` are the failures of the shard; `deaths` is the file of clips that killed a worker.
    Raises StorageError when a shard could not be written.
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
            if row["trouble"]:
                raise StorageError(*json.loads(row["trouble"]))
            yield row | {"failed": json.loads(row["failed"])}
