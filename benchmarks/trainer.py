"""What Ray Train and DeepSpeed cost around the same work, on CPU and one worker.

- Ray: `jobs.training.fit` (TorchTrainer around our worker) against the worker alone in a process of
  its own. Same job, same losses; seconds of a step (median after the first few, with loading) and
  seconds to the first step.
- ZeRO-1 at world 1: `jobs.training.engine.Engine` (AdamW, clipping, average, checks for NaN)
  against a bare torch loop with AdamW, clipping and average; two copies of one model in one
  process, step by step in turn.

The ratio is seconds of a bare step by those under Ray, or under ZeRO, the worse of both.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import ray
import torch

from benchmarks.random_shards import make_set
from benchmarks.train_step import Forward, ours
from jobs.config import Recipe
from jobs.training.config import TrainConfig
from jobs.training.engine import Engine, environment, process_group
from jobs.training.fit import fit
from jobs.training.log import LOG, read
from jobs.training.loop import train_worker
from jobs.training.optimizer import make_optimizer
from jobs.training.prepare import make_job
from jobs.training.run import Job
from model.config import named_config

AIM = 0.97
SKIPPED = 5  # first steps: caches fill
BATCH = 8


def job_in(out: Path, shards: Path, steps: int) -> tuple[Recipe, Job]:
    """A run of `tiny` on random latents that only steps."""
    train = TrainConfig(
        steps=steps, global_batch=BATCH, workers=1, warmup=2, validate_every=0, sample_every=0,
        checkpoint_every=steps,
    )  # fmt: skip
    recipe = Recipe(name="trainer", out=out, train=train)
    return recipe, make_job(recipe, shards)


def timed(out: Path, begun: float) -> tuple[float, float, list[float]]:
    """Median seconds of a step, seconds to the end of the first, and all losses of a run."""
    steps = [line for line in read(out / LOG) if line["kind"] == "step"]
    median = statistics.median(line["step_s"] for line in steps[SKIPPED:])
    return median, steps[0]["time"] - begun, [line["loss"] for line in steps]


def under_ray(out: Path, shards: Path, steps: int) -> tuple[float, float, list[float]]:
    """The run inside Ray Train, its own Ray included in the start."""
    recipe, job = job_in(out, shards, steps)
    begun = time.time()
    if trouble := fit(recipe, job):
        raise RuntimeError(trouble)
    return timed(out, begun)


def alone(out: Path, shards: Path, steps: int) -> tuple[float, float, list[float]]:
    """The same worker in a process of its own."""
    begun = time.time()
    child(["--worker", str(out), str(shards), str(steps)])
    return timed(out, begun)


def child(words: list[str]) -> str:
    """Run this file in another process, with a worker's variables, and give what it printed."""
    env = os.environ | environment(TrainConfig())
    command = [sys.executable, "-m", "benchmarks.trainer", *words]
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return done.stdout


def wrapped(pairs: int) -> tuple[float, float]:
    """Median seconds of a step by Engine under ZeRO 1, and of a bare loop."""
    config = TrainConfig(zero=1, workers=1, steps=10_000)
    torch.set_num_threads(1)
    shape = named_config("tiny")
    (model, forward), (plain, bare) = ours(shape, BATCH), ours(shape, BATCH)
    plain.load_state_dict(model.state_dict())
    engine = Engine(model, config)
    optimizer = make_optimizer(plain, config)
    average = [p.detach().clone() for p in plain.parameters()]
    found: list[tuple[float, float]] = []
    for number in range(pairs + SKIPPED):
        begun = time.perf_counter()
        engine.backward(loss_of(forward), last=True)
        engine.step(number)
        between = time.perf_counter()
        loss_of(bare).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for mean, weight in zip(average, plain.parameters(), strict=True):
                mean.lerp_(weight, 0.001)
        found.append((between - begun, time.perf_counter() - between))
    zero, torch_s = (statistics.median(column) for column in zip(*found[SKIPPED:], strict=True))
    return zero, torch_s


def loss_of(forward: Forward) -> torch.Tensor:
    """The mean square of both outputs less one."""
    return torch.stack([(out - 1).square().mean() for out in forward()]).sum()


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 steps each, < 50 s")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--zero", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker or given.zero:
        process_group(random.randint(20_000, 60_000))  # noqa: S311 - a port
    if given.worker:
        out, shards, steps = given.worker
        train_worker({"job": job_in(Path(out), Path(shards), int(steps))[1]})
        return
    if given.zero:
        print(json.dumps(wrapped(given.zero)))
        return
    steps = 20 if given.quick else 300
    with tempfile.TemporaryDirectory(prefix="reelmill-") as name:
        root = Path(name)
        make_set(root / "shards", {17: 128}, channels=16, size=64, text_dim=384, per_shard=32)
        step_ray, start_ray, losses_ray = under_ray(root / "ray", root / "shards", steps)
        ray.shutdown()
        step, start, losses = alone(root / "alone", root / "shards", steps)
    assert losses == losses_ray, "two runs of one job differ"
    print(f"a step under Ray Train {step_ray:.3f} s, alone {step:.3f} s: {step / step_ray:.3f}")
    print(f"to the end of the first step: {start_ray:.1f} s under Ray, {start:.1f} s alone")
    zero, bare = json.loads(child(["--zero", str(steps)]).splitlines()[-1])
    print(f"a step under ZeRO 1 {zero:.3f} s, in a bare torch loop {bare:.3f} s: {bare / zero:.3f}")
    peer, mine = min((step, step_ray), (bare, zero), key=lambda pair: pair[0] / pair[1])
    print(
        json.dumps(
            {
                "name": "trainer",
                "ratio": round(peer / mine, 3),
                "aim": AIM,
                "ours": round(mine, 4),
                "peer": round(peer, 4),
                "unit": "s a step",
                "versions": {name: version(name) for name in ("ray", "deepspeed", "torch")},
                "machine": f"{platform.machine()} {platform.system()}, 1 worker, 1 thread",
            }
        )
    )


if __name__ == "__main__":
    main()
