"""The encode pass: kept clips become latents in shards, with an index and a contract.

Plan, then make what is missing (`encode_actors.py`), then seal: tables first, contract last.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from curation.files import sweep
from curation.media import Limits
from curation.progress import progress, say
from curation.records import Reason, Status
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
from pipelines.shards import ShardError, read_side
from pipelines.storage import DataRoot
from pipelines.tally import Tally

# What a rerun tries again, as the scan does: neither is the clip's fault.
AGAIN = {Reason.UNREADABLE, Reason.INTERNAL}
FEW = 400  # clips of a demo: one process makes 8 a second, two actors need 25 s to begin


def encode(
    root: DataRoot, config: EncodeConfig, inputs: Inputs, limits: Limits | None = None
) -> Tally:
    """Encode the kept clips of `inputs`; the finished set is `find_set(root)`.

    A rerun makes only shards that are missing. Raises ValueError when there is nothing to encode.
    """
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
        tally = Tally("encode", "clips", plan.clips)
        missing = [task for task in plan.tasks if not _finished(read_side(folder, task.shard))]
        before = {task.shard for task in plan.tasks} - {task.shard for task in missing}
        if missing:
            sweep(folder)
            earlier = earlier_sets(root.shards, plan.encode, plan.name)
            missing = [replace(task, earlier=earlier) for task in missing]
            _make(missing, config, limits, folder, encoder)
        sides = [side for task in plan.tasks if (side := read_side(folder, task.shard))]
        assert len(sides) == len(plan.tasks), "a shard is missing that its worker reported as made"
        contract = _seal(folder, sides, config, encoder, inputs, plan)
    finally:
        encoder.close()
        torch.set_num_threads(threads)
    rows = artefact_rows(plan, sides)
    ledger.replace(f"artefacts/{plan.name}", rows)
    set_current(root, folder)
    for row in rows:
        tally.add(row["status"], row["reason"], earlier=row["shard"] in before)
    tally.close(f"shards/{plan.name}")
    _describe(contract)
    return tally


def _finished(side: dict[str, Any] | None) -> bool:
    """Whether a shard is there, and no clip of it failed for a reason that may be gone."""
    return side is not None and not any(f["reason"] in AGAIN for f in side["failures"])


def artefact_rows(plan: Plan, sides: list[dict[str, Any]]) -> list[Row]:
    """One row for every clip of the plan: its shard, or why there is no sample of it."""
    rows = [
        {"clip_id": f.clip_id, "status": Status.FAILED, "reason": f.reason, "detail": f.detail}
        | {"shard": None}
        for f in plan.refused
    ]
    for side in sides:
        where = {"shard": side["shard"]}
        ok: Row = {"status": Status.OK, "reason": None, "detail": None}
        rows += [{"clip_id": sample["key"]} | ok | where for sample in side["samples"]]
        rows += [failure | {"status": Status.FAILED} | where for failure in side["failures"]]
    return rows


def _make(
    tasks: list[Task],
    config: EncodeConfig,
    limits: Limits | None,
    folder: Path,
    encoder: ClipEncoder,
) -> None:
    """Make shards: on Ray, or in this process where that is as quick."""
    total = sum(len(task.clips) for task in tasks)
    workers = min(config.workers or (1 if total <= FEW else 2), len(tasks))
    with progress("encode", total, "clips") as advance:
        if not os.environ.get("RAY_ADDRESS") and workers == 1:
            for task in tasks:
                encoder.shard(task, folder, advance)
            return
        from pipelines.encode_actors import make_shards  # noqa: PLC0415 - seconds, and only here

        for row in make_shards(tasks, config, limits, folder):
            advance(int(row["clips"]), f"{row['shard']}, {row['failed']} failed")


def _seal(
    folder: Path,
    sides: list[dict[str, Any]],
    config: EncodeConfig,
    encoder: ClipEncoder,
    inputs: Inputs,
    plan: Plan,
) -> dict[str, Any]:
    """Write index, constants and contract, unless the contract is there and fits the shards."""
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


def _describe(contract: dict[str, Any]) -> None:
    size = sum(shard["bytes"] for shard in contract["shards"]) / 2**20
    counts, buckets = contract["counts"], contract["buckets"]
    say(
        f"encode: {counts['ok']} samples, {contract['hours'] * 60:.1f} min in "
        f"{len(contract['shards'])} shards, {size:.1f} MiB, {len(buckets)} buckets: "
        + ", ".join(f"{name} ({facts['samples']})" for name, facts in buckets.items())
    )
