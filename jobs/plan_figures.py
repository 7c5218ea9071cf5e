"""The figures of a plan: from what a few films took to all of them, and in words."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor, inf
from pathlib import Path
from typing import Any

from curation.places import Place
from jobs.config import Recipe
from pipelines import cluster
from pipelines.estimate import Estimate, ratio

HOUR = 3600.0


@dataclass(frozen=True)
class Trial:
    """What a few films took, each list film by film."""

    seconds: list[float]  # of film
    passes: dict[str, list[float]]  # worker-seconds by pass
    starts: float  # worker-seconds that no film adds to: loading models, the latents' round trips
    kept: list[float]  # seconds of film in samples
    samples: list[float]
    shard_bytes: list[float]
    ledger_bytes: int


def extrapolated(trial: Trial, whole: Estimate, films: int, recipe: Recipe) -> dict[str, Any]:
    """The plan: estimates by name."""

    def total(costs: list[float], unit: float = 1.0) -> Estimate:
        found = ratio(costs, trial.seconds, films).times(whole)
        return Estimate(found.value / unit, found.error)

    hours = {name: total(costs, HOUR) for name, costs in trial.passes.items()}
    every = [sum(costs) for costs in zip(*trial.passes.values(), strict=True)]
    work = total(every, HOUR)
    clips, shards = total(trial.samples), total(trial.shard_bytes)
    ledger = Estimate(trial.ledger_bytes / max(sum(trial.seconds), 1e-9)).times(whole)
    packed = max(
        clips.value / recipe.encode.shard_clips, shards.value / (recipe.encode.shard_mib * 2**20)
    )
    cpus = cluster.cpus()
    return {
        "film_hours": Estimate(whole.value / HOUR, whole.error),
        "worker_hours": hours,
        "all_worker_hours": work,
        "hours_here": Estimate(work.value / cpus, work.error),
        "node_hours": Estimate(work.value / recipe.plan.node_cpus, work.error),
        "workers_here": cpus,
        "node_cpus": recipe.plan.node_cpus,
        "start_seconds": trial.starts,
        "kept_hours": total(trial.kept, HOUR),
        "clips": clips,
        "shards": Estimate(ceil(packed), clips.error),
        "shard_bytes": shards,
        "ledger_bytes": ledger,
        "bytes": Estimate(
            shards.value + ledger.value,
            max((part.error for part in (shards, ledger) if part.value), default=0.0),
        ),
        "free_bytes": free_bytes(recipe.data.path),
    }


def free_bytes(where: Place) -> int | None:
    """Room on the disk of a folder that may not be there yet; None where a store has the data."""
    if not isinstance(where, Path):
        return None
    folders = (where.resolve(), *where.resolve().parents)
    return shutil.disk_usage(next(folder for folder in folders if folder.exists())).free


def table(plan: dict[str, Any]) -> Iterator[str]:
    """The plan in lines."""
    for name, hours in plan["worker_hours"].items():
        yield f"  {name:<10} {figure(hours, 'worker-h')}"
    here, node = plan["workers_here"], plan["node_cpus"]
    yield f"  all        {figure(plan['all_worker_hours'], 'worker-h')}"
    yield f"  on {here} workers as here: {figure(plan['hours_here'], 'h')}"
    yield f"  on nodes of {node} cores: {figure(plan['node_hours'], 'node-h')}"
    yield f"  kept       {figure(plan['kept_hours'], 'h')} in {count(plan['clips'])} clips"
    yield f"  shards     {count(plan['shards'])}, {sizes(plan['shard_bytes'])}"
    yield f"  ledger     {sizes(plan['ledger_bytes'])}"
    if plan["free_bytes"] is not None:
        yield f"  free       {amount(plan['free_bytes'])}"


def figure(estimate: Estimate, unit: str) -> str:
    """A number with its band."""
    if estimate.error == inf:
        return f"{estimate.value:,.3g} {unit} (no band: too few films)"
    low, high = estimate.low, estimate.high
    return f"{estimate.value:,.4g} {unit} ({low:,.3g} to {high:,.3g})"


def count(estimate: Estimate) -> str:
    """A whole number with its band."""
    if estimate.error == inf:
        return f"{round(estimate.value):,}"
    return f"{round(estimate.value):,} ({floor(estimate.low):,} to {ceil(estimate.high):,})"


def sizes(estimate: Estimate) -> str:
    """Bytes with their band."""
    if estimate.error == inf:
        return f"{amount(estimate.value)} (no band: too few films)"
    return f"{amount(estimate.value)} ({amount(estimate.low)} to {amount(estimate.high)})"


def amount(size: float) -> str:
    """Bytes in a unit that people read."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def rounded(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan as JSON: each estimate as value, low and high."""

    def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if not isinstance(value, Estimate):
            return value
        if value.error == inf:
            return {"value": value.value, "low": None, "high": None}
        return {"value": value.value, "low": value.low, "high": value.high}

    return {key: plain(value) for key, value in plan.items()}
