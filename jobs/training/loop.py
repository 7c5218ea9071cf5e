"""The training loop of one worker: step, log, validate, sample, checkpoint."""

import math
import time
from dataclasses import astuple, dataclass, field
from itertools import chain, pairwise
from typing import Any

from curation.progress import say
from jobs.training import ranks
from jobs.training.cost import Work
from jobs.training.curves import (
    Curves,
    add_curves,
    bad_ids,
    by_loss,
    curves,
    no_curves,
    reduce_curves,
)
from jobs.training.optimizer import rate
from jobs.training.run import Job, Run, averaged_model, begin, save
from jobs.training.samples import make_samples
from jobs.training.speed import BACKWARD, memory_gib, mfu
from jobs.training.step import losses, make_batch, weighted
from jobs.training.tasks import Counts, plan_step
from jobs.training.validate import validate
from model.conditions import Task
from model.mmdit import set_share
from model.sparse import share_at
from pipelines.stream import Sample


@dataclass
class Learned:
    """What a rank's part of a batch said."""

    sums: Curves
    work: Work = field(default_factory=Work)
    bad: list[str] = field(default_factory=list)  # ids of samples whose loss is not finite
    by_loss: list[tuple[float, str]] = field(default_factory=list)  # where outliers are watched


@dataclass(frozen=True)
class Taken:
    """What one step did."""

    line: dict[str, float]  # for the log
    flops: float  # all ranks', padding left out
    stop: bool  # whether the driver asks to save and stop
    trouble: list[str] = field(default_factory=list)  # ids of samples behind a skipped step
    outlier: dict[str, float] = field(default_factory=dict)  # norm and limit, where they were why

    @property
    def applied(self) -> bool:
        """Whether it was not skipped."""
        return not self.trouble


def train_worker(given: dict[str, Job]) -> None:
    """Train until the recipe's last step. The same on every worker."""
    run = begin(given["job"])
    try:
        train(run)
    finally:
        run.reader.close()
        run.stream.reader.close()
        if run.copier:
            run.copier.wait()
        if run.log:
            run.log.close()


def train(run: Run) -> None:
    """Steps from the cursor on, until the last one, too many bad ones in a row, or a request."""
    config = run.job.config
    if run.counters.step >= config.steps:
        return
    batches = run.stream.batches(run.cursor)
    asked = time.monotonic()
    for cursor, samples in batches:
        waited = time.monotonic() - asked
        taken = take_step(run, samples, waited)
        run.cursor = cursor
        if not note(run, taken, waited, time.monotonic() - asked):
            return
        last = run.counters.step >= config.steps
        seams(run, last=last, stop=taken.stop)
        if last:
            return
        if taken.stop:
            if run.log:
                run.log.add("paused", run.counters.step)
            return
        asked = time.monotonic()


def take_step(run: Run, samples: list[Sample], waited: float = 0.0) -> Taken:
    """One global batch, for which this rank `waited` seconds. NaN or Inf in any rank's loss or
    gradient, or a gradient that is an outlier, changes no weight anywhere.
    """
    step, config = run.counters.step, run.job.config
    if config.retrofit:
        share = share_at(step, run.job.model.sparse, config.retrofit.by, config.retrofit.every)
        for model in (run.engine.module, run.shadow):
            set_share(model, share)
    alone, total = plan_step(samples, run.objective, run.cursor)
    limit = run.watch.limit() if run.watch else math.inf
    learned = learn(run, samples, alone, total)
    stepped = run.engine.step(step, limit)
    asked = ranks.rank() == 0 and run.job.stop.exists()
    extra = (float(asked), waited, *astuple(learned.work))
    means, (stop, waits, *work) = reduce_curves(learned.sums, extra)
    everything = Work(*work)
    run.counters.samples += total.samples
    run.counters.tokens += int(everything.tokens)
    assert run.stream.cost is not None
    cost = run.stream.cost(run.stream.reader.geometry[samples[0].bucket])
    teacher = run.distiller.passes if run.distiller else 0
    passes = run.passes if config.lora else BACKWARD
    run.counters.flops += (passes + teacher) * cost * total.samples
    line = {"samples": float(total.samples), **everything.line()}
    line["wait_mean_s"] = waits / ranks.world()
    flops = (run.passes + teacher) * everything.flops
    if not stepped.applied:
        large = math.isfinite(stepped.grad_norm)
        why = {"grad_norm": stepped.grad_norm, "limit": limit} if large else {}
        return Taken(line, flops, bool(stop), trouble_of(learned, samples, large=large), why)
    if run.watch:
        run.watch.taken(stepped.grad_norm)
    weights = config.loss
    line["loss"] = weights.video * means.get("loss/video", 0.0)
    line["loss"] += weights.audio * means.get("loss/audio", 0.0)
    if config.keyframes:
        line["loss"] += config.keyframes.weight * means.get("loss/keyframes", 0.0)
    line |= {**means, "grad_norm": stepped.grad_norm, "lr": rate(config, step)}
    return Taken(line, flops, bool(stop))


def learn(run: Run, samples: list[Sample], alone: Task | None, total: Counts) -> Learned:
    """Forward and backward passes of this rank's part of a batch. Collective."""
    config, done = run.job.config, Learned(no_curves())
    parts = micro_batches(samples, total.samples, config.micro_batch)
    for number, part in enumerate(parts, 1):
        batch = make_batch(part, run.objective, run.job.model, audio=total.heard > 0, alone=alone)
        if run.distiller:
            batch = run.distiller.retarget(batch, run.engine)
        found = losses(run.engine, batch)
        run.engine.backward(weighted(found, config, total), last=number == len(parts))
        done.sums = add_curves(done.sums, curves(found, batch))
        done.work += batch.work
        done.bad += bad_ids(found, batch)
        done.by_loss += by_loss(found, batch) if run.watch else []
    return done


def trouble_of(learned: Learned, samples: list[Sample], *, large: bool) -> list[str]:
    """The samples behind a skipped step: those with a bad loss, or all where none has one; of a
    large gradient all, the largest loss first. Collective.
    """
    if large:
        found = sorted(chain.from_iterable(ranks.gather(learned.by_loss)), reverse=True)
        return [name for _, name in found]
    named = list(chain.from_iterable(ranks.gather(learned.bad)))
    return named or list(chain.from_iterable(ranks.gather([s.clip_id for s in samples])))


def micro_batches(samples: list[Sample], whole: int, size: int | None) -> list[list[Sample]]:
    """A rank's samples in parts of about `size`, as many on every rank of a batch of `whole`.

    ZeRO reduces gradients in every backward pass, so all ranks have to make as many.
    """
    if size is None:
        return [samples]
    count = math.ceil(whole // ranks.world() / size)
    edges = [len(samples) * n // count for n in range(count + 1)]
    return [samples[a:b] for a, b in pairwise(edges)]


def note(run: Run, taken: Taken, waited: float, took: float) -> bool:
    """Count and log the step; False when the run has to stop."""
    counters, config = run.counters, run.job.config
    counters.step += 1
    counters.skipped += not taken.applied
    counters.bad_in_a_row = 0 if taken.applied else counters.bad_in_a_row + 1
    stop = counters.bad_in_a_row >= config.max_bad_steps
    if run.log is None:
        return not stop
    if not taken.applied:
        run.log.add(
            "bad",
            counters.step,
            ids=taken.trouble,
            in_a_row=counters.bad_in_a_row,
            **taken.outlier,
        )
        why = "NaN or Inf"
        if taken.outlier:
            why = "gradient norm {grad_norm:.4g} above {limit:.4g}".format(**taken.outlier)
        say(f"step {counters.step} skipped, {why} with {', '.join(taken.trouble[:3])}")
    line: dict[str, Any] = {
        **taken.line,
        "samples_seen": counters.samples,
        "tokens_seen": counters.tokens,
        "flops_seen": counters.flops,
        "epoch": run.cursor.epoch,
        "skipped": counters.skipped,
        "wait_s": waited,
        "step_s": took,
        "samples_per_s": taken.line["samples"] / took,
        "tokens_per_s": taken.line["tokens"] / took,
        "tflops": taken.flops / took / ranks.world() / 1e12,
        **mfu(taken.flops / took / ranks.world(), run.peak),
        "memory_gib": memory_gib(run.engine.device),
    }
    run.log.add("step", counters.step, **line)
    if stop:
        run.log.add("stopped", counters.step, ids=taken.trouble, in_a_row=counters.bad_in_a_row)
    return not stop


def seams(run: Run, *, last: bool, stop: bool = False) -> None:
    """What happens between steps: held-out loss, sample clips, and the checkpoint last of all."""
    config, step = run.job.config, run.counters.step

    def due(every: int) -> bool:
        return bool(every) and (last or step % every == 0)

    checking, showing = due(config.validate_every) and bool(run.held_out), due(config.sample_every)
    if checking or showing:
        model = averaged_model(run)
        if checking:
            found = validate(
                model, run.reader, run.held_out, run.objective, run.job.model, run.distiller
            )
            if run.log:
                run.log.add("validation", step, **found)
        if showing:
            files = make_samples(run, model)
            if run.log:
                run.log.add("samples", step, files=files)
    if stop or due(config.checkpoint_every):
        save(run)
