"""The encode pass: kept clips become latents in shards, with an index and a contract.

Plan, then make what is missing, then seal: tables first, contract last. One Ray Data row is one
planned shard, so no pixel and no latent travels through the object store.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.data
import torch

from curation.files import sweep
from curation.media import Limits
from curation.progress import progress, say
from curation.records import Status
from pipelines import cluster
from pipelines.contract import (
    CONSTANTS,
    INDEX,
    check_file,
    read_contract,
    set_current,
    write_set,
)
from pipelines.encode_clip import ClipEncoder
from pipelines.encode_config import EncodeConfig
from pipelines.encode_plan import Inputs, Plan, Task, kept_clips, make_plan, origin
from pipelines.ledger import Ledger, Row
from pipelines.shards import ShardError, read_side
from pipelines.storage import DataRoot
from pipelines.tally import Tally

DEATHS = 5  # of workers on one shard; more is no accident


class EncodeShard:
    """The actor of the pass: loads the networks once, makes one shard a row."""

    def __init__(self, config: EncodeConfig, limits: Limits | None, folder: str) -> None:
        self.encoder = ClipEncoder(config, limits)
        self.folder = Path(folder)

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        """Make the shard of `row`, unless another attempt committed it."""
        task = Task.from_row(row)
        side = read_side(self.folder, task.shard) or self.encoder.shard(task, self.folder)
        failed = len(side["failures"])
        return {"shard": task.shard, "clips": len(task.clips), "failed": failed}


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
        missing = [task for task in plan.tasks if read_side(folder, task.shard) is None]
        before = {task.shard for task in plan.tasks} - {task.shard for task in missing}
        if missing:
            sweep(folder)
            _make(missing, config, limits, folder)
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


def _make(tasks: list[Task], config: EncodeConfig, limits: Limits | None, folder: Path) -> None:
    """Make shards on Ray: one actor a GPU, or one a CPU where there is none."""
    cluster.start()
    gpus = int(ray.cluster_resources().get("GPU", 0))
    workers = min(config.workers or gpus or cluster.cpus(), len(tasks))
    total = sum(len(task.clips) for task in tasks)
    with progress("encode", total, "clips") as advance:
        for row in _rows(tasks, config, limits, folder, workers, gpus):
            advance(int(row["clips"]), f"{row['shard']}, {row['failed']} failed")


def _rows(
    tasks: list[Task],
    config: EncodeConfig,
    limits: Limits | None,
    folder: Path,
    workers: int,
    gpus: int,
) -> Iterator[dict[str, Any]]:
    data = ray.data.from_items([task.row() for task in tasks], override_num_blocks=len(tasks))
    made = data.map(
        EncodeShard,
        fn_constructor_args=(config, limits, str(folder.resolve())),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        num_gpus=1 if gpus else 0,
        # A shard that kills its worker again and again must end the run, not retry for ever.
        max_task_retries=DEATHS,
    )
    yield from made.iter_rows()


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
        check_file(folder / INDEX, contract["index"], INDEX)
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
