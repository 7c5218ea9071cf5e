"""A chain of two stages, killed twenty times, with one worker in between, ends as the calm one."""

import json
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file

from benchmarks.random_shards import make_set
from jobs.config import load_recipe
from jobs.training import checkpoint
from jobs.training.log import read
from pipelines.contract import set_current
from pipelines.storage import DataRoot

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
KILLS, ALONE = 20, range(7, 12)  # kills before which the chain goes on with one worker
# Of a stage; a kill falls at most AHEAD steps after a start, and workers outlive their driver.
STEPS, AHEAD, LIMIT_S = 250, 6, 900
CLOSE = 1e-4  # one worker adds in another order than two
TRAIN = {
    "model": {"width": 32, "heads": 2, "dual": 1, "single": 1},
    "steps": STEPS,
    "global_batch": 8,
    "warmup": 5,
    "validate_every": 15,
    "validate_samples": 4,
    "sample_every": 0,
    "checkpoint_every": 4,
    "workers": 2,
}
STAGES = [
    {"name": "joint"},
    {
        "name": "sharp",
        "train": {
            "rendition": "high",
            "refine": {"keyframes": "keyframes"},
            "init": {"only": ["video"]},
        },
    },
]


def chain(folder):
    """The recipe of a chain below `folder`, and where its stages are."""
    out = folder / "run"
    shards = out / "data/shards/set"
    shards.mkdir(parents=True)
    make_set(shards, {9: 40}, size=16, channels=16, val=3, sharp=1)
    set_current(DataRoot(out / "data"), shards)
    path = folder / "chain.yaml"  # JSON is YAML
    values = {"name": "chain", "seed": 1, "out": str(out), "train": TRAIN, "stages": STAGES}
    path.write_text(json.dumps(values))
    return path, [out / "stages" / name for name in ("01-joint", "02-sharp")]


def start(path, workers):
    command = [sys.executable, "-m", "jobs.train", str(path), "--train.workers", str(workers)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def steps(stages):
    """How often each step of each stage is in the log, in its order."""
    lines = [x for stage in stages for x in read(stage / "metrics.jsonl")]
    return [x["step"] for x in lines if x["kind"] == "step"]


def worker_of(driver, drawn):
    """One of the processes that train for a driver, itself where there is none at the moment."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "TrainWorker" in " ".join(process.cmdline()):
                found.append(process)
    return drawn.choice(found or [driver])


def kill(stages, driver, drawn):
    """SIGKILL the driver or one of its workers, some steps from here; whether it was alive."""
    before, ahead = len(steps(stages)), drawn.randint(1, AHEAD)
    until = time.monotonic() + LIMIT_S
    while len(steps(stages)) < before + ahead:
        if driver.poll() is not None:
            return False
        assert time.monotonic() < until, f"no step for {LIMIT_S} s"
        time.sleep(0.01)
    (worker_of(driver, drawn) if drawn.random() < 0.3 else driver).kill()
    return True


def test_killed_twenty_times(tmp_path):
    """State that only memory held, a stage that starts over, steps twice, a second MLflow run."""
    (tmp_path / "calm").mkdir()
    (tmp_path / "wild").mkdir()
    path, calm = chain(tmp_path / "calm")
    assert start(path, 2).wait(LIMIT_S) == 0
    path, wild = chain(tmp_path / "wild")
    drawn, kills, driver = random.Random(7), 0, None
    try:
        while kills < KILLS:
            if driver is None or driver.poll() is not None:
                driver = start(path, 1 if kills in ALONE else 2)
            kills += kill(wild, driver, drawn)
            if kills in (ALONE.start, ALONE.stop):
                driver.kill()  # the number of workers changes with the next one
            time.sleep(1)
            assert driver.poll() != 0, f"the chain ended after {kills} kills"
        code = driver.wait(LIMIT_S)
    finally:
        driver.kill()
        driver.wait()
    if code:
        assert start(path, 2).wait(LIMIT_S) == 0
    assert steps(wild) == steps(calm) == 2 * list(range(1, STEPS + 1))
    for ours, theirs in zip(wild, calm, strict=True):
        check_same(ours, theirs)
    check_runs(load_recipe(path).tracking_uri)


def check_same(wild, calm):
    """The numbers and weights of a stage, but for the order of sums."""
    kinds = [{x["step"]: x["loss"] for x in read(stage / "metrics.jsonl") if x["kind"] == "step"}
             for stage in (wild, calm)]  # fmt: skip
    assert kinds[0] == pytest.approx(kinds[1], rel=CLOSE)
    for name in ("model.safetensors", "ema.safetensors"):
        ours, theirs = (
            load_file(checkpoint.newest(x / "checkpoints") / name) for x in (wild, calm)
        )
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=CLOSE, atol=CLOSE)


def check_runs(uri):
    """One run of the chain and one of each stage, whatever was killed."""
    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "chain"]
    names = [r.info.run_name for r in client.search_runs([experiment.experiment_id])]
    assert sorted(names) == ["chain", "train chain-joint", "train chain-sharp"]
