"""The driver of a training run is killed; the same command ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.random_shards import make_set
from jobs.training import checkpoint
from jobs.training.log import read
from pipelines.contract import set_current
from pipelines.storage import DataRoot

pytestmark = pytest.mark.chaos
CLOCKS = {"time", "wait_s", "step_s", "samples_per_s", "tokens_per_s"}
TRAIN = {
    "model": {"width": 32, "heads": 2, "dual": 1, "single": 1},
    "steps": 60,
    "global_batch": 8,
    "warmup": 5,
    "validate_every": 15,
    "validate_samples": 4,
    "sample_every": 0,
    "checkpoint_every": 10,
    "workers": 2,
}


def recipe(folder):
    out = folder / "run"
    shards = out / "data" / "shards" / "set"
    shards.mkdir(parents=True)
    make_set(shards, {5: 40, 9: 16}, val=3)
    set_current(DataRoot(out / "data"), shards)
    path = folder / "recipe.yaml"  # JSON is YAML
    path.write_text(json.dumps({"name": "killed", "out": str(out), "train": TRAIN}))
    return path, out


@pytest.fixture
def start():
    """Start a driver; whatever is left of them ends with the test."""
    drivers = []

    def begin(path):
        command = [sys.executable, "-m", "jobs.train", str(path)]
        drivers.append(subprocess.Popen(command, start_new_session=True))
        return drivers[-1]

    yield begin
    for driver in drivers:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()


def steps_of(out):
    return [line["step"] for line in read(out / "metrics.jsonl") if line["kind"] == "step"]


def facts(out):
    lines = [x for x in read(out / "metrics.jsonl") if x["kind"] in ("step", "validation")]
    return [{k: v for k, v in line.items() if k not in CLOCKS} for line in lines]


def hashes(out):
    manifest = checkpoint.verify(checkpoint.newest(out / "checkpoints"))
    return {n: f["sha256"] for n, f in manifest["files"].items() if n.endswith(".safetensors")}


def test_killed_twice_ends_with_the_same_losses(tmp_path, start):
    """Catches state that only the driver or the workers' memory held."""
    (tmp_path / "calm").mkdir()
    (tmp_path / "wild").mkdir()
    path, calm = recipe(tmp_path / "calm")
    assert start(path).wait(900) == 0
    path, wild = recipe(tmp_path / "wild")
    for wanted in (14, 37):
        driver = start(path)
        end = time.monotonic() + 900
        while not (wild / "metrics.jsonl").exists() or max(steps_of(wild), default=0) < wanted:
            assert driver.poll() is None, "the driver ended by itself"
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        time.sleep(5)  # Ray's own processes follow their driver
    assert max(steps_of(wild)) < 60
    assert start(path).wait(900) == 0
    starts = [line["step"] for line in read(wild / "metrics.jsonl") if line["kind"] == "start"]
    assert len(starts) == 3
    assert starts[0] == 0
    assert all(step > 0 for step in starts[1:])
    assert steps_of(wild) == list(range(1, 61))
    assert facts(wild) == facts(calm)
    assert hashes(wild) == hashes(calm)
    assert start(path).wait(100) == 0, "a finished run says so"
