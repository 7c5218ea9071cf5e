"""Shards made by Ray Data: one row is one planned shard, one actor is one set of networks.

No pixel and no latent travels through the object store; an actor writes its shard and commits it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.data

from curation.media import Limits
from pipelines import cluster
from pipelines.attempts import Attempts
from pipelines.encode_clip import ClipEncoder
from pipelines.encode_config import EncodeConfig
from pipelines.encode_plan import Task
from pipelines.measure import pool, quiet_ray_data

DEATHS = 5  # of workers on one shard; more is no accident


class EncodeShard:
    """The actor of the pass: loads the networks once, makes one shard a row."""

    def __init__(
        self,
        config: EncodeConfig,
        limits: Limits | None,
        folder: str,
        attempts: Any,  # noqa: ANN401 - a Ray handle
    ) -> None:
        self.encoder = ClipEncoder(config, limits)
        self.folder = Path(folder)
        self.attempts = attempts

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        """Make and commit the shard of `row`."""
        task = Task.from_row(row)
        # Ray would start a worker again for ever; what no worker survives must end the run.
        if ray.get(self.attempts.begin.remote(task.shard)) > DEATHS:
            raise RuntimeError(f"{DEATHS} workers died on shard {task.shard}; is memory short?")
        side = self.encoder.shard(task, self.folder)
        failed = len(side["failures"])
        return {"shard": task.shard, "clips": len(task.clips), "failed": failed}


def make_shards(
    tasks: list[Task], config: EncodeConfig, limits: Limits | None, folder: Path
) -> Iterator[dict[str, Any]]:
    """Make and commit the shards of `tasks`; yields {shard, clips, failed} as each is done."""
    cluster.start()
    quiet_ray_data()
    gpus = int(ray.cluster_resources().get("GPU", 0))
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    data = ray.data.from_items([task.row() for task in tasks], override_num_blocks=len(tasks))
    made = data.map(
        EncodeShard,
        fn_constructor_args=(config, limits, str(folder.resolve()), attempts),
        compute=pool(config.workers or gpus, len(tasks)),
        num_cpus=1,
        num_gpus=1 if gpus else 0,
    )
    yield from made.iter_rows()
