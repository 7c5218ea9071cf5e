"""What the judges' pass does on Ray: actors, one a core, that hold the models.

Rows between stages hold paths, ids and scores as JSON text; no picture travels through Ray.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import ray.data

from curation.film_spans import clips_film
from curation.judges.config import JudgeConfig
from curation.judges.seen import GROUP_S
from curation.media import Limits, MediaReader
from curation.places import Place
from curation.records import Reason, RejectedError, Status
from pipelines import attempts
from pipelines.attempts import Remote, begun, starting
from pipelines.judge import empty_row
from pipelines.ledger import Row
from pipelines.measure import MOST_BLOCKS, pool, quiet_ray_data

Judged = list[tuple[str, Row]]


class Judger:
    """One actor: a guarded decoder and the models, loaded when first asked."""

    def __init__(self, config: dict[str, Any], limits: dict[str, Any], watch: Any) -> None:  # noqa: ANN401 - a Ray handle
        # 3 s of models' libraries that the driver need not import
        import cv2  # noqa: PLC0415

        from curation.judges.bench import Bench  # noqa: PLC0415

        cv2.setNumThreads(1)
        watch = Remote(watch)
        with starting(watch):
            self._reader = MediaReader(Limits(**limits))
            self._bench = Bench(JudgeConfig(**config), self._reader, partial(begun, watch))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Judge the clips of each task; every judgement asked for gives one row."""
        return {"judged": [json.dumps(self.judge(json.loads(text))) for text in batch["task"]]}

    def judge(self, task: dict[str, Any]) -> Judged:
        """(judge, row) of one task; what fails for the whole film becomes the row of each."""
        clips = task["clips"]
        try:
            with clips_film(self._reader, clips, GROUP_S) as path:
                return self._bench.judge_film(path, clips)
        except RejectedError as error:
            return refused(clips, error.reason, error.detail)
        except Exception as error:
            detail = RejectedError(Reason.INTERNAL, f"{type(error).__name__}: {error}").detail
            return refused(clips, Reason.INTERNAL, detail)


def refused(clips: list[Row], reason: Reason, detail: str) -> Judged:
    """A failed row for every judgement of the clips."""
    return [
        (name, empty_row(clip["clip_id"], Status.FAILED, reason, detail))
        for clip in clips
        for name in clip["judges"]
    ]


def judge_all(
    config: JudgeConfig, limits: Limits, work: list[dict[str, Any]], deaths: Place | None = None
) -> Iterator[Judged]:
    """Judgements task by task, in the order in which they are done.

    `deaths` is the file of judgements that killed a worker.
    """
    quiet_ray_data()
    data = ray.data.from_items(
        [{"task": json.dumps(task)} for task in work],
        override_num_blocks=min(len(work), MOST_BLOCKS),
    )
    with attempts.watching(deaths) as watch:
        done = data.map_batches(
            Judger,
            fn_constructor_args=(
                config.model_dump(mode="json"),
                limits.model_dump(mode="json"),
                watch,
            ),
            batch_size=1,
            num_cpus=1,
            compute=pool(config.workers, len(work)),
        )
        for row in done.iter_rows():
            yield [(name, judgement) for name, judgement in json.loads(row["judged"])]
