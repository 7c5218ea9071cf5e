"""Everything a worker holds during a run, and how it is built, resumed and saved."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from curation.files import write_json
from curation.places import place
from curation.progress import say
from jobs.training import checkpoint, distil, lora, ranks
from jobs.training.build import build
from jobs.training.config import TrainConfig
from jobs.training.copies import Copier, Copies
from jobs.training.cost import sample_cost
from jobs.training.engine import Engine, prepare
from jobs.training.log import LOG, MetricsLog
from jobs.training.outlier import Watch
from jobs.training.references import wants_other
from jobs.training.speed import BACKWARD, device_of, passes
from jobs.training.start import listed
from jobs.training.tasks import Objective
from jobs.training.validate import held_out_rows
from model.config import ModelConfig
from model.mmdit import MMDiT
from pipelines.contract import read_constants
from pipelines.stream import DEFAULT_GRANULARITY, Cursor, Reader, Stream


@dataclass(frozen=True)
class Job:
    """What the driver hands to every worker: plain values."""

    out: str
    shards: str
    seed: int
    config: TrainConfig
    model: ModelConfig
    card: dict[str, Any]  # what model.json says besides the step
    identity: dict[str, Any]  # what a resumed run must share
    texts: tuple[Tensor, ...] = ()  # features of the recipe's sample prompts
    copies: Copies | None = None  # of checkpoints, where the recipe's storage is an object store

    @property
    def folder(self) -> Path:
        """Step folders."""
        return Path(self.out) / "checkpoints"

    @property
    def stop(self) -> Path:
        """There while the driver asks rank 0 to save and stop."""
        return Path(self.out) / "stop"

    @property
    def log(self) -> Path:
        """The run's own log."""
        return Path(self.out) / LOG


@dataclass
class Counters:
    """What a checkpoint remembers besides weights."""

    step: int = 0  # global batches taken, skipped ones too
    samples: int = 0
    tokens: int = 0
    flops: float = 0.0  # of forward and backward, by the model's formulae
    skipped: int = 0
    bad_in_a_row: int = 0


@dataclass
class Run:
    """A worker's state."""

    job: Job
    engine: Engine
    stream: Stream
    objective: Objective
    reader: Reader  # of held-out clips
    held_out: list[int]
    shadow: MMDiT  # takes the averaged weights for validation and samples
    counters: Counters
    cursor: Cursor
    log: MetricsLog | None  # rank 0's
    distiller: distil.Distiller | None = None
    copier: Copier | None = None  # rank 0's
    base: str = ""  # fingerprint of the weights below adapters
    passes: float = BACKWARD  # what a step costs, in forward passes
    peak: float | None = None  # FLOP/s of a device, where it is known
    watch: Watch | None = None  # over the size of gradients


def begin(job: Job) -> Run:
    """Build model and engine, and go on from the newest complete checkpoint. Collective."""
    config = job.config
    prepare(config)
    if ranks.rank() == 0:
        checkpoint.sweep(job.folder)
    found = _where(job)
    model, base, fresh = build(job.model, config, job.seed, Path(job.out), found)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    shadow = MMDiT(job.model).requires_grad_(requires_grad=False)
    engine = Engine(model, config)
    trainer = checkpoint.read_trainer(found) if found else {}
    shards = place(job.shards)
    stream = Stream(
        shards,
        job.seed,
        config.global_batch,
        rank=ranks.rank(),
        world=ranks.world(),
        cost=sample_cost(job.model, config),
        granularity=trainer.get("granularity") or granularity(config),
        wants=wants_other(config.tasks, job.seed),
    )
    reader = Reader(shards)
    objective = Objective(
        config,
        job.seed,
        read_constants(shards, stream.contract),
        job.model.text_dim,
        engine.device,
        engine.dtype,
    )
    counters, cursor = Counters(), Cursor()
    if found is not None:
        engine.load(found)
        counters, cursor = Counters(**trainer["counters"]), Cursor(**trainer["cursor"])
    log = MetricsLog(job.log, counters.step) if ranks.rank() == 0 else None
    sizes = sum(p.numel() for p in shadow.parameters())
    device, peak = device_of(config)
    if log is not None:
        about = {"workers": ranks.world(), "device": device}
        about |= {"peak_tflops": peak / 1e12} if peak else {}
        log.add("start", counters.step, parameters=sizes, trained=trained, **about)
        if fresh:
            say(f"train: {len(fresh)} parameters start fresh: {listed(fresh)}")
    return Run(
        job,
        engine,
        stream,
        objective,
        reader,
        held_out_rows(reader, config.validate_samples),
        shadow.to(engine.device).eval(),
        counters,
        cursor,
        log,
        distil.load(config, engine.device, engine.dtype) if config.distil else None,
        Copier(job.copies, job.log) if job.copies and log is not None else None,
        base,
        passes(trained, sizes),
        peak,
        Watch(config.outlier, trainer.get("norms", ())) if config.outlier else None,
    )


def _where(job: Job) -> Path | None:
    """The step folder to go on from, chosen and verified by rank 0 alone."""
    answer: tuple[str | None, str | None] = (None, None)
    if ranks.rank() == 0:
        try:
            found = checkpoint.newest(job.folder)
            answer = (str(found) if found else None, None)
        except checkpoint.CheckpointError as error:
            answer = (None, str(error))
    path, trouble = ranks.from_first(answer)
    if trouble:
        raise checkpoint.CheckpointError(trouble)
    return Path(path) if path else None


def granularity(config: TrainConfig) -> int:
    """What a new run's batches are multiples of: 8 where 1, 2, 4 or 8 workers share them.

    A resumed run keeps its own, whatever its workers are now, or its batches would be others.
    """
    default = math.gcd(config.global_batch, DEFAULT_GRANULARITY)
    if default % config.workers == 0:
        return default
    possible = range(config.workers, config.global_batch + 1)
    return next(size for size in possible if config.global_batch % size == 0)


def save(run: Run) -> Path:
    """Commit the checkpoint of the current step. Collective."""
    job, counters = run.job, run.counters
    adapters = job.config.lora
    averaged = run.engine.weights(averaged=True)
    plain = {} if adapters else run.engine.weights(averaged=False)

    def write(folder: Path) -> None:
        run.engine.save(folder)
        if ranks.rank() == 0:
            if adapters:  # the base does not change; the run keeps it once
                lora.save(folder, averaged, adapters, run.base)
            else:
                checkpoint.write_weights(folder, averaged, plain)
            write_json(
                folder / "trainer.json",
                {
                    "counters": asdict(counters),
                    "cursor": asdict(run.cursor),
                    "granularity": run.stream.granularity,
                    "identity": job.identity,
                    **({"base": run.base} if run.base else {}),
                    **({"norms": list(run.watch.norms)} if run.watch else {}),
                },
            )
            write_json(folder / "model.json", {**job.card, "step": counters.step})

    path = checkpoint.commit(job.folder, counters.step, write, job.config.keep_last)
    if run.log:
        run.log.add("checkpoint", counters.step, path=str(path.relative_to(job.out)))
    if run.copier:
        run.copier.send(path)
    return path


def averaged_model(run: Run) -> MMDiT:
    """The shadow model with the current averaged weights. Collective."""
    averaged = run.engine.weights(averaged=True)
    run.shadow.load_state_dict(lora.usable(averaged, run.job.config.lora))
    return run.shadow
