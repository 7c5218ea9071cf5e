"""The training loop of one worker: step, log, validate, sample, checkpoint."""

import math
import time
from dataclasses import astuple, dataclass
from itertools import chain, pairwise
from typing import Any

from curation.progress import say
from jobs.training import ranks
from jobs.training.cost import Work
from jobs.training.curves import add_curves, bad_ids, curves, no_curves, reduce_curves
from jobs.training.engine import rate
from jobs.training.run import Job, Run, averaged_model, begin, save
from jobs.training.samples import make_samples
from jobs.training.speed import BACKWARD, memory_gib, mfu
from jobs.training.step import losses, make_batch, weighted
from jobs.training.tasks import plan_step
from jobs.training.validate import validate
from model.mmdit import set_share
from model.sparse import share_at
from pipelines.stream import Sample


@dataclass(frozen=True)
class Taken:
    """What one step did."""

    applied: bool
    line: dict[str, float]  # for the log
    flops: float  # all ranks', padding left out
    trouble: list[str]  # ids of this rank's samples behind a skipped step
    stop: bool  # whether the driver asks to save and stop


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
    gradient changes no weight anywhere.
    """
    step, config = run.counters.step, run.job.config
    if config.retrofit:
        share = share_at(step, run.job.model.sparse, config.retrofit.by, config.retrofit.every)
        for model in (run.engine.module, run.shadow):
            set_share(model, share)
    alone, total = plan_step(samples, run.objective, run.cursor)
    sums, work, bad = no_curves(), Work(), []
    parts = micro_batches(samples, total.samples, config.micro_batch)
    for number, part in enumerate(parts, 1):
        batch = make_batch(part, run.objective, run.job.model, audio=total.heard > 0, alone=alone)
        if run.distiller:
            batch = run.distiller.retarget(batch, run.engine)
        found = losses(run.engine, batch)
        run.engine.backward(weighted(found, config, total), last=number == len(parts))
        sums = add_curves(sums, curves(found, batch))
        work += batch.work
        bad += bad_ids(found, batch)
    stepped = run.engine.step(step)
    asked = ranks.rank() == 0 and run.job.stop.exists()
    means, (stop, waits, *sizes) = reduce_curves(sums, (float(asked), waited, *astuple(work)))
    everything = Work(*sizes)
    run.counters.samples += total.samples
    run.counters.tokens += int(everything.tokens)
    assert run.stream.cost is not None
    cost = run.stream.cost(run.stream.reader.geometry[samples[0].bucket])
    teacher = run.distiller.passes if run.distiller else 0
    passes = run.passes if config.lora else BACKWARD
    run.counters.flops += (passes + teacher) * cost * total.samples
    line = {
        "samples": float(total.samples),
        "tokens": everything.tokens,
        "tokens_video": everything.picture,
        "tokens_audio": everything.sound,
        "tokens_text": everything.text,
        "padding": everything.padding / max(1, everything.tokens + everything.padding),
        "wait_mean_s": waits / ranks.world(),
    }
    flops = (run.passes + teacher) * everything.flops
    if not stepped.applied:  # without a bad loss it is the gradient of any of them
        named = list(chain.from_iterable(ranks.gather(bad)))
        trouble = named or list(chain.from_iterable(ranks.gather([s.clip_id for s in samples])))
        return Taken(applied=False, line=line, flops=flops, trouble=trouble, stop=bool(stop))
    weights = config.loss
    line["loss"] = weights.video * means.get("loss/video", 0.0)
    line["loss"] += weights.audio * means.get("loss/audio", 0.0)
    if config.keyframes:
        line["loss"] += config.keyframes.weight * means.get("loss/keyframes", 0.0)
    line |= {**means, "grad_norm": stepped.grad_norm, "lr": rate(config, step)}
    return Taken(applied=True, line=line, flops=flops, trouble=[], stop=bool(stop))


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
        run.log.add("bad", counters.step, ids=taken.trouble, in_a_row=counters.bad_in_a_row)
        say(f"step {counters.step} skipped, NaN or Inf with {', '.join(taken.trouble[:3])}")
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
