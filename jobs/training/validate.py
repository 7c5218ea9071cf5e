"""Held-out loss at fixed noise levels: comparable over steps, runs and numbers of workers.

It draws nothing from any shared random state and runs on a copy of the averaged weights, so the
training that follows is the same with and without it.
"""

from dataclasses import replace

import numpy as np
import torch

from jobs.training import ranks
from jobs.training.curves import STREAMS
from jobs.training.distil import Distiller
from jobs.training.step import Forward, losses, make_batch
from jobs.training.tasks import Objective
from model.config import ModelConfig
from pipelines.stream import Reader, Sample

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # t; the middle of each fifth
AT_ONCE = 8  # samples of one forward pass
VALIDATION_SEED = 0  # the same noise in every run, so that runs compare


def held_out_rows(reader: Reader, most: int) -> list[int]:
    """Up to `most` index rows of the held-out split, spread evenly over its clips by name."""
    splits = reader.columns["split"].to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(splits == "val").tolist()
    rows.sort(key=lambda row: reader.columns["key"][row].as_py())
    if len(rows) <= most:
        return rows
    return [rows[i * len(rows) // most] for i in range(most)]


@torch.no_grad()
def validate(
    forward: Forward,
    reader: Reader,
    rows: list[int],
    objective: Objective,
    model: ModelConfig,
    distiller: Distiller | None = None,
) -> dict[str, float]:
    """Mean losses over `rows` by stream, and by stream and noise level. Collective.

    A student's are against its teacher's own end of each phase.
    `loss` is the weighted sum of the streams. Empty when there are no rows.
    """
    isolated = replace(objective, seed=VALIDATION_SEED, dtype=torch.float32)
    names = [f"{s}{at}" for s in STREAMS for at in ("", *(f"/t{x}" for x in LEVELS))]
    sums = dict.fromkeys(names, 0.0)
    numbers = dict.fromkeys(names, 0.0)
    for samples in groups([reader.sample(row) for row in rows[ranks.rank() :: ranks.world()]]):
        for level in LEVELS:
            audio = model.sound and any(s.audio is not None for s in samples)
            batch = make_batch(samples, isolated, model, audio=audio, level=level)
            if distiller:
                batch = distiller.retarget(batch, forward, whole=True)
            found = losses(forward, batch)
            for stream, errors, count in (
                ("video", found.video, len(samples)),
                ("audio", found.audio, int(batch.makes_audio.sum())),
                ("keyframes", found.keyframes, len(samples) * (batch.keyframes_target is not None)),
            ):
                for name in (stream, f"{stream}/t{level}"):
                    sums[name] += float(errors.double().sum())
                    numbers[name] += count
    both = ranks.total(
        torch.tensor([*sums.values(), *numbers.values()], dtype=torch.float64)
    ).tolist()
    means = {
        name: total / count
        for name, total, count in zip(names, both[: len(names)], both[len(names) :], strict=True)
        if count
    }
    if not means:
        return {}
    weights = objective.config.loss
    loss = weights.video * means.get("video", 0.0) + weights.audio * means.get("audio", 0.0)
    if objective.config.keyframes:
        loss += objective.config.keyframes.weight * means.get("keyframes", 0.0)
    return {"loss": loss, **means}


def groups(samples: list[Sample]) -> list[list[Sample]]:
    """Samples that fit one forward pass: of one bucket, all with sound or all without."""
    found: dict[tuple[str, bool], list[Sample]] = {}
    for sample in samples:
        found.setdefault((sample.bucket, sample.audio is None), []).append(sample)
    return [same[i : i + AT_ONCE] for same in found.values() for i in range(0, len(same), AT_ONCE)]
