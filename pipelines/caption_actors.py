"""Clips to a model in Ray actors: one a GPU, or a few on CPUs.

Rows hold paths, times and answers as JSON; frames and sound are read in the actor that asks.
"""

import json
from collections.abc import Iterator
from typing import Any

import ray
import ray.data
from ray.data import ActorPoolStrategy
from ray.exceptions import RayError

from curation.captions.config import LLMConfig
from curation.captions.request import evidence
from curation.captions.server import ServerError
from curation.media import Limits, MediaReader
from curation.records import Reason, RejectedError
from pipelines import attempts, cluster
from pipelines.attempts import Remote, begun, starting
from pipelines.caption_ask import answer_row, film_for, refused_row, show
from pipelines.ledger import Row
from pipelines.measure import quiet_ray_data

CPU_ACTORS = 2  # a model on CPUs takes what memory there is; more only by caption.llm.workers
MOST_BLOCKS = 4_000


class Captioner:
    """One actor: a guarded decoder and a model, used for clip after clip."""

    def __init__(self, config: LLMConfig, limits: dict[str, Any], watch: Any) -> None:  # noqa: ANN401 - a Ray handle
        from curation.captions.local import LocalModel  # noqa: PLC0415 - torch, on workers only

        self._config = config
        self._teller = self._config.teller
        self._watch = Remote(watch)
        self._reader = MediaReader(Limits(**limits))
        with starting(self._watch):
            self._model = LocalModel(self._config)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Answer rows of the clips of each task, as JSON."""
        return {"rows": [json.dumps(self.task(json.loads(text))) for text in batch["task"]]}

    def task(self, task: Row) -> list[Row]:
        """One row a clip, whatever happens to it."""
        clips = task["clips"]
        try:
            with film_for(self._config, self._reader, clips) as path:
                return [self._clip(path, clip) for clip in clips]
        except RejectedError as error:
            return [refused_row(clip, error, self._teller) for clip in clips]

    def _clip(self, path: str, clip: Row) -> Row:
        try:
            with begun(self._watch, clip["clip_id"]):
                seen = show(self._config, self._reader, path, clip)
                outcome = self._model.describe(clip["clip_id"], seen, evidence(clip))
        except RejectedError as error:
            return refused_row(clip, error, self._teller)
        except Exception as error:
            trouble = RejectedError(Reason.INTERNAL, f"{type(error).__name__}: {error}")
            return refused_row(clip, trouble, self._teller)
        return answer_row(clip, outcome, self._teller)


def ask_actors(config: LLMConfig, tasks: list[Row], limits: Limits) -> Iterator[Row]:
    """Answer rows in the order in which they are done. `tasks` are clips of one film each.

    Raises ServerError when the model cannot be loaded.
    """
    quiet_ray_data()
    data = ray.data.from_items(
        [{"task": json.dumps(task)} for task in tasks],
        override_num_blocks=min(len(tasks), MOST_BLOCKS),
    )
    gpus = int(ray.cluster_resources().get("GPU", 0))
    wanted = config.workers or gpus or min(CPU_ACTORS, cluster.cpus())
    with attempts.watching() as watch:
        told = data.map_batches(
            Captioner,
            fn_constructor_args=(config, limits.model_dump(), watch),
            batch_size=1,
            num_cpus=1,
            num_gpus=1 if gpus else 0,
            compute=ActorPoolStrategy(size=min(wanted, len(tasks))),
        )
        try:
            for row in told.iter_rows():
                yield from json.loads(row["rows"])
        except RayError as error:
            raise ServerError(
                f"no actor with {config.teller} could work: {last_line(error)}"
            ) from error


def last_line(error: Exception) -> str:
    """What a worker's trace ends with."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "")
