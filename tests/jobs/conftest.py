"""A tiny shard set, a tiny model, and a process group of one, for the training tests."""

import os
import socket
from pathlib import Path

import pytest
import torch

from benchmarks.random_shards import make_set
from jobs.config import Recipe
from jobs.training import loop
from jobs.training.config import TrainConfig
from jobs.training.engine import environment, process_group
from jobs.training.log import read
from jobs.training.loop import train_worker
from jobs.training.prepare import make_job

TINY = {
    "model": {"width": 16, "heads": 2, "dual": 1, "single": 1},
    "steps": 8,
    "global_batch": 8,
    "warmup": 2,
    "validate_every": 0,
    "validate_samples": 4,
    "sample_every": 0,
    "checkpoint_every": 4,
    "workers": 1,
}
CLOCKS = {"time", "wait_s", "wait_mean_s", "step_s", "samples_per_s", "tokens_per_s"}
CLOCKS |= {"tflops", "mfu", "memory_gib"}


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    """Two buckets, a fifth of the clips silent, some held out."""
    folder = tmp_path_factory.mktemp("shards")
    make_set(folder, {5: 30, 9: 14}, val=3)
    return folder


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory) -> Path:
    """An MLflow database without a run, to be copied: to make one takes 4 s."""
    from mlflow import MlflowClient  # noqa: PLC0415 - seconds, and only here

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    assert [e.name for e in MlflowClient(f"sqlite:///{path}").search_experiments()] == ["Default"]
    return path


@pytest.fixture(scope="session")
def tiny():
    """Make a job: tiny(out, shards, steps=3, ...)."""

    def make(out, shards, seed=1, **changes):
        out.mkdir(parents=True, exist_ok=True)
        train = TrainConfig(**{**TINY, **changes})
        return make_job(Recipe(name="tiny", out=out, seed=seed, train=train), shards)

    return make


@pytest.fixture(scope="session")
def world_of_one():
    """A world of one for the whole session: DeepSpeed keeps the first group it meets."""
    before = dict(os.environ)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(environment(TrainConfig()))
    process_group(port)
    needed = {name: value for name, value in os.environ.items() if before.get(name) != value}
    os.environ.clear()
    os.environ.update(before)
    yield needed
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def alone(world_of_one):
    """The process is a training worker; environment and settings of torch are put back."""
    before, threads = dict(os.environ), torch.get_num_threads()
    os.environ.update(world_of_one)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def train_alone():
    """Train a job in this process and return its log."""

    def run(job):
        train_worker({"job": job})
        return read(job.log)

    return run


class KilledError(BaseException):
    """Stands for SIGKILL between two steps: nothing of ours catches it."""


@pytest.fixture
def killed_at(monkeypatch):
    """Train a job until its machine ends after a step, before anything that lies between steps."""

    def run(job, step):
        def seams(run, *, last, seams=loop.seams, **more):
            if run.counters.step == step:
                raise KilledError
            seams(run, last=last, **more)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "seams", seams)
            with pytest.raises(KilledError):
                train_worker({"job": job})

    return run


@pytest.fixture(scope="session")
def facts():
    """The lines of a log without what the clock decides."""

    def strip(lines, kinds=("step", "validation", "bad")):
        return [
            {key: value for key, value in line.items() if key not in CLOCKS}
            for line in lines
            if line["kind"] in kinds
        ]

    return strip
