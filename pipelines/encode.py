"""The encode pass: kept clips become latents in shards, with an index and a contract.

Plan, then make what is missing (`encode_actors.py`), then seal: tables first, contract last.
"""

import os
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import torch

from curation.files import sweep
from curation.media import Limits
from curation.places import Place, Remote, each
from curation.progress import progress, say
from curation.records import Status
from pipelines.attempts import alone, deaths_file
from pipelines.budget import ERROR_BUDGET, Budget
from pipelines.contract import (
    CONSTANTS,
    check_file,
    read_contract,
    read_index,
    set_current,
    write_set,
)
from pipelines.encode_clip import ClipEncoder
from pipelines.encode_config import EncodeConfig
from pipelines.encode_plan import Inputs, Plan, Task, kept_clips, make_plan, origin
from pipelines.encode_reuse import earlier_sets
from pipelines.ledger import Ledger, Row
from pipelines.retry import again
from pipelines.roundtrip import measure_round_trips, tell
from pipelines.shards import ShardError, read_side
from pipelines.storage import DataRoot
from pipelines.tally import Tally

Failed = list[Row] | None  # what failed in a shard, None before it is made
FEW = 400  # clips of a demo: one process makes 8 a second, two actors need 25 s to begin


def encode(
    root: DataRoot,
    config: EncodeConfig,
    inputs: Inputs,
    limits: Limits | None = None,
    error_budget: float = ERROR_BUDGET,
    replay: Collection[str] = (),
) -> Tally:
    """Encode the kept clips of `inputs`; the finished set is `find_set(root)`.

    A rerun makes only shards that are missing; with `replay` only clips that failed for these
    reasons. Raises ValueError when there is nothing to encode; BudgetError when a cause that is not
    the clips' fault meets more than a share of them.
    """
    begun = time.monotonic()
    ledger = Ledger(root.ledger)
    clips = kept_clips(ledger, inputs)
    if not clips:
        raise ValueError("no clip was kept; look at the funnel of `reelmill decide`")
    threads = torch.get_num_threads()
    encoder = ClipEncoder(config, limits)
    try:
        plan = make_plan(config, encoder.makers, inputs, clips)
        folder = root.shards / plan.name
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        before = _failures(folder, plan)
        if replay and None in before.values():
            raise ValueError(f"shards/{plan.name} is not finished; run `reelmill encode` first")
        missing = [task for task in plan.tasks if not _finished(before[task.shard], replay)]
        if missing:
            earlier = earlier_sets(root.shards, plan.encode, plan.name)
            missing = [replace(t, earlier=earlier, replay=tuple(replay)) for t in missing]
            deaths = deaths_file(ledger.folder, f"encode@{plan.name}", replay)
            budget = Budget("clips", error_budget)
            for task, failed in _make(missing, config, limits, folder, encoder, deaths):
                new = [row for row in failed if row not in (before[task.shard] or [])]
                budget.add_all([{"status": Status.OK}] * (len(task.clips) - len(failed)))
                budget.add_all([row | {"status": Status.FAILED} for row in new])
            deaths.unlink(missing_ok=True)
        sides = [side for side in _sides(folder, plan) if side]
        assert len(sides) == len(plan.tasks), "a shard is missing that its worker reported as made"
        contract = _seal(folder, sides, config, encoder, inputs, plan)
        trips = measure_round_trips(ledger, folder, clips, encoder)
    finally:
        encoder.close()
        torch.set_num_threads(threads)
    rows = artefact_rows(plan, sides)
    ledger.replace(f"artefacts/{plan.name}", rows)
    set_current(root, folder)
    if replay:
        tried = _replayed(plan, before, replay)
        rows = [row for row in rows if row["clip_id"] in tried]
    tally = Tally("encode", "clips", len(rows) if replay else plan.clips, begun)
    made = {task.shard for task in missing}
    for row in rows:
        tally.add(
            row["status"], row["reason"], earlier=bool(row["shard"]) and row["shard"] not in made
        )
    tally.close(f"shards/{plan.name}")
    _describe(contract, trips)
    return tally


def _sides(folder: Place, plan: Plan) -> list[dict[str, Any] | None]:
    """The side files of a plan's shards; None for those that are not there."""
    names = [task.shard for task in plan.tasks]
    return each(lambda name: read_side(folder, name), names, isinstance(folder, Remote))


def _failures(folder: Place, plan: Plan) -> dict[str, Failed]:
    """What failed in each shard."""
    return {
        task.shard: None if side is None else side["failures"]
        for task, side in zip(plan.tasks, _sides(folder, plan), strict=True)
    }


def _finished(failed: Failed, replay: Collection[str] = ()) -> bool:
    """Whether a shard is there, and no clip of it failed for a reason that is tried again."""
    return failed is not None and not any(again(row["reason"], replay) for row in failed)


def artefact_rows(plan: Plan, sides: list[dict[str, Any]]) -> list[Row]:
    """One row for every clip of the plan: its shard, or why there is no sample of it."""
    rows = [vars(failure) | {"status": Status.FAILED, "shard": None} for failure in plan.refused]
    for side in sides:
        where = {"shard": side["shard"]}
        ok: Row = {"status": Status.OK, "reason": None, "detail": None, "attempts": None}
        rows += [{"clip_id": sample["key"]} | ok | where for sample in side["samples"]]
        rows += [failure | {"status": Status.FAILED} | where for failure in side["failures"]]
    return rows


def _replayed(plan: Plan, before: dict[str, Failed], replay: Collection[str]) -> set[str]:
    """Clips of a plan that had failed for one of the reasons."""
    rows = [vars(failure) for failure in plan.refused]
    rows += [row for failed in before.values() for row in failed or []]
    return {row["clip_id"] for row in rows if row["reason"] in replay}


def _make(
    tasks: list[Task],
    config: EncodeConfig,
    limits: Limits | None,
    folder: Place,
    encoder: ClipEncoder,
    deaths: Place,
) -> Iterator[tuple[Task, list[Row]]]:
    """Make shards: on Ray, or in this process where that is as quick; each with its failures."""
    total = sum(len(task.clips) for task in tasks)
    workers = min(config.workers or (1 if total <= FEW else 2), len(tasks))
    with progress("encode", total, "clips") as advance:
        if not os.environ.get("RAY_ADDRESS") and workers == 1:
            encoder.watch = attempts = alone(deaths)
            try:
                for task in tasks:
                    yield task, encoder.shard(task, folder, advance)["failures"]
            finally:
                attempts.close()
            return
        from pipelines.encode_actors import make_shards  # noqa: PLC0415 - seconds, and only here

        named = {task.shard: task for task in tasks}
        for row in make_shards(tasks, config, limits, folder, deaths):
            advance(int(row["clips"]), f"{row['shard']}, {len(row['failed'])} failed")
            yield named[row["shard"]], row["failed"]


def _seal(
    folder: Place,
    sides: list[dict[str, Any]],
    config: EncodeConfig,
    encoder: ClipEncoder,
    inputs: Inputs,
    plan: Plan,
) -> dict[str, Any]:
    """Write index, constants and contract, unless the contract is there and fits the shards."""
    sweep(folder)  # again: a killed run's workers may have outlived the one at the beginning
    try:
        contract = read_contract(folder)
        read_index(folder, contract)
        check_file(folder / CONSTANTS, contract["constants"], CONSTANTS)
        if {s["name"]: s["sha256"] for s in contract["shards"]} == {
            s["shard"]: s["sha256"] for s in sides
        }:
            return contract
    except ShardError:
        pass  # not sealed yet, or damaged since: the sides are enough to seal it again
    made_by = origin(config, encoder.makers, inputs, plan)
    constants = encoder.constants(plan.buckets)
    return write_set(folder, sides, made_by, plan.buckets, constants, len(plan.refused))


def _describe(contract: dict[str, Any], trips: list[Row]) -> None:
    size = sum(shard["bytes"] for shard in contract["shards"]) / 2**20
    counts, buckets = contract["counts"], contract["buckets"]
    say(
        f"encode: {counts['ok']} samples, {contract['hours'] * 60:.1f} min in "
        f"{len(contract['shards'])} shards, {size:.1f} MiB, {len(buckets)} buckets: "
        + ", ".join(f"{name} ({facts['samples']})" for name, facts in buckets.items())
    )
    tell(trips)
