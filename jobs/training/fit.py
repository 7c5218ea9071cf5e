"""One Ray Train run of a job, and how it is stopped."""

import math
import shutil
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from curation.progress import say
from jobs.config import Recipe
from jobs.training.engine import environment
from jobs.training.log import read
from jobs.training.loop import train_worker
from jobs.training.run import Job
from pipelines import cluster

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def fit(recipe: Recipe, job: Job) -> str:
    """Run the workers. Returns what went wrong, or nothing."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415 - 1 s
    from ray.train.torch import TorchTrainer  # noqa: PLC0415

    class Trainer(TorchTrainer):
        """Ctrl-C asks the workers to save; Ray's own answer drops what came since the last save."""

        def _register_sigint_handler(self, _controller: Any) -> None:  # noqa: ANN401
            """Ray's place for it: after its actors have started."""
            on_signal(job)

    config = recipe.train
    cluster.start()
    # one machine's cores are shared out, a part each if need be; a cluster has to have them
    share = min(config.threads, math.floor(cluster.cpus() / config.workers * 100) / 100)
    scratch = Path(job.out) / "ray"  # Ray wants a folder; what has to stay is in `checkpoints`
    trainer = Trainer(
        train_worker,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=(
                (config.min_workers, config.workers) if config.min_workers else config.workers
            ),
            use_gpu=config.device == "cuda",
            resources_per_worker={"CPU": share if cluster.is_local() else config.threads},
        ),
        run_config=RunConfig(
            name=f"{recipe.name}-{time.time_ns()}",
            storage_path=str(Path(job.out) / "ray"),
            failure_config=FailureConfig(max_failures=config.max_failures),
            worker_runtime_env={"env_vars": environment(config)},
        ),
    )
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    job.stop.unlink(missing_ok=True)
    try:
        trainer.fit()
    except Exception as error:
        return f"the workers failed: {root_of(error)}"
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        job.stop.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
    lines = read(job.log)
    stopped = [line for line in lines[-2:] if line["kind"] == "stopped"]
    if stopped:
        ids = ", ".join(stopped[0]["ids"][:5])
        return f"{stopped[0]['in_a_row']} steps in a row were skipped, last with {ids}"
    return ""


def root_of(error: BaseException) -> str:
    """The last line of the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def on_signal(job: Job) -> None:
    """The first signal makes rank 0 save after its step; the second one ends the driver."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        if job.stop.exists():
            raise KeyboardInterrupt
        job.stop.touch()
        say("train: saving after this step; once more stops at once")

    for number in SIGNALS:
        signal.signal(number, stop)


def paused_at(job: Job) -> int | None:
    """The step at which the last run of a job was asked to stop, and did."""
    lines = read(job.log)
    return lines[-1]["step"] if lines and lines[-1]["kind"] == "paused" else None
