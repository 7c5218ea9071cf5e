"""What a step says of its losses: means by stream, task and noise level over the global batch."""

from collections.abc import Sequence

import torch

from jobs.training import ranks
from jobs.training.step import Batch, Losses
from model.conditions import Task

BINS = 4  # of the noise level t
STREAMS = ("video", "audio", "keyframes")
Curves = dict[str, tuple[float, int]]  # (sum, count) by name


def curves(found: Losses, batch: Batch) -> Curves:
    """(sum, count) of local losses for every curve, always the same keys in the same order."""
    sums = no_curves()
    bins = (batch.t * BINS).long().clamp(max=BINS - 1).tolist()
    keyed = batch.makes_video & (batch.keyframes_target is not None)
    for stream, values, there in (
        ("video", found.video, batch.makes_video.tolist()),
        ("audio", found.audio, batch.makes_audio.tolist()),
        ("keyframes", found.keyframes, keyed.tolist()),
    ):
        for value, present, task, level in zip(
            values.detach().double().tolist(), there, batch.tasks, bins, strict=True
        ):
            if not present:
                continue
            for name in (
                f"loss/{stream}",
                f"task/{task}/{stream}",
                f"level/{level}/{stream}",
            ):
                total, count = sums[name]
                sums[name] = total + value, count + 1
    return sums


def no_curves() -> Curves:
    """Every curve without a sample."""
    return dict.fromkeys(curve_names(), (0.0, 0))


def add_curves(one: Curves, two: Curves) -> Curves:
    """The curves of two parts of a batch."""
    return {name: (one[name][0] + two[name][0], one[name][1] + two[name][1]) for name in one}


def curve_names() -> list[str]:
    """Loss by stream, by task and stream, by quarter of t (0 is noisiest) and stream."""
    return [
        *(f"loss/{stream}" for stream in STREAMS),
        *(f"task/{task}/{stream}" for task in Task for stream in STREAMS),
        *(f"level/{level}/{stream}" for level in range(BINS) for stream in STREAMS),
    ]


def reduce_curves(local: Curves, extra: Sequence[float]) -> tuple[dict[str, float], list[float]]:
    """Means of the curves over the global batch, and the sums of `extra`. Collective.

    Curves without a sample in this batch are left out.
    """
    flat = [number for pair in local.values() for number in pair]
    summed = ranks.total(torch.tensor([*flat, *extra], dtype=torch.float64)).tolist()
    means = {}
    for place, name in enumerate(local):
        total, count = summed[2 * place], summed[2 * place + 1]
        if count:
            means[name] = total / count
    return means, summed[len(flat) :]


def bad_ids(found: Losses, batch: Batch) -> list[str]:
    """Samples of this rank whose loss is not finite."""
    sound = torch.isfinite(torch.stack([found.video, found.audio, found.keyframes])).all(0)
    return [name for name, good in zip(batch.ids, sound.tolist(), strict=True) if not good]


def by_loss(found: Losses, batch: Batch) -> list[tuple[float, str]]:
    """The loss of each sample of this rank, and its id."""
    whole = (found.video + found.audio + found.keyframes).detach().tolist()
    return list(zip(whole, batch.ids, strict=True))
