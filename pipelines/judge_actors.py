"""What the judges' pass does on Ray: actors, one a core or GPU, that hold the models.

Rows between stages hold paths, ids and scores as JSON text; no picture travels through Ray. An
actor's own decoders, `judge.readers`, work ahead of its networks.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import ray
import ray.data

from curation.judges.config import JudgeConfig
from curation.judges.onnx_net import Device, providers
from curation.media import Limits, MediaReader
from curation.places import Place
from pipelines import attempts, cluster
from pipelines.attempts import Remote, begun, starting
from pipelines.ledger import Row
from pipelines.measure import MOST_BLOCKS, pool, quiet_ray_data

Judged = list[tuple[str, Row]]


class Judger:
    """One actor: guarded decoders and the models, loaded when first asked."""

    def __init__(self, config: dict[str, Any], limits: dict[str, Any], watch: Any) -> None:  # noqa: ANN401 - a Ray handle
        # 3 s of models' libraries that the driver need not import
        import cv2  # noqa: PLC0415

        from curation.judges.bench import Bench  # noqa: PLC0415

        cv2.setNumThreads(1)
        given = JudgeConfig(**config)
        self._watch, self._ahead = Remote(watch), given.ahead > 0
        with starting(self._watch):
            self._trouble = unfit(given.device)
            readers = [MediaReader(Limits(**limits)) for _ in range(1 + given.ahead)]
            self._bench = Bench(given, readers, partial(begun, self._watch))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Judge the clips of each row's films; every judgement asked for gives one row."""
        judged = [self.judge(json.loads(text)) for text in batch["films"]]
        return {
            "judged": [json.dumps(rows) for rows in judged],
            "trouble": [self._trouble] * len(judged),
        }

    def judge(self, films: list[list[Row]]) -> Judged:
        """(judge, row) of some films' clips; what fails for a whole film becomes the row of each.

        Where a worker died on one of the clips, nothing is read ahead: what dies is then alone.
        """
        if self._trouble:
            return []
        clips = [clip for film in films for clip in film]
        ahead = self._ahead and not self._watch.died(
            [f"{clip['clip_id']} {name}" for clip in clips for name in ("reading", *clip["judges"])]
        )
        return self._bench.judge_films(films, ahead)


def unfit(device: Device) -> str:
    """Why networks cannot run on this machine's device; empty if they can."""
    import torch  # noqa: PLC0415 - seconds, on workers only

    try:
        providers(device)
    except (ValueError, ImportError) as error:
        return str(error)
    if device == "cuda" and not torch.cuda.is_available():
        return "judge.device is cuda and this torch finds no GPU on a worker; use cpu"
    return ""


def gpus(config: JudgeConfig) -> int:
    """GPUs for the networks, one a worker. Raises ValueError where there is none to be had."""
    if config.device == "cpu":
        return 0
    found = int(ray.cluster_resources().get("GPU", 0))
    if not found and cluster.is_local():
        raise ValueError("judge.device is cuda and there is no GPU here; use cpu")
    return max(1, found)  # a cluster may start one when it is asked for


def judge_all(
    config: JudgeConfig,
    limits: Limits,
    rows: list[list[list[Row]]],
    deaths: Place | None = None,
) -> Iterator[Judged]:
    """Judgements row by row, in the order in which they are done; a row is clips by film.

    `deaths` is the file of judgements that killed a worker. Raises ValueError when the networks
    cannot run where the recipe wants them.
    """
    quiet_ray_data()
    found = gpus(config)
    data = ray.data.from_items(
        [{"films": json.dumps(films)} for films in rows],
        override_num_blocks=min(len(rows), MOST_BLOCKS),
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
            num_gpus=1 if found else 0,
            compute=pool(config.workers or found, len(rows)),
        )
        for row in done.iter_rows():
            if row["trouble"]:
                raise ValueError(row["trouble"])
            yield [(name, judgement) for name, judgement in json.loads(row["judged"])]
