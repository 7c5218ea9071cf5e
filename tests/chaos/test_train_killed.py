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
CLOCKS = {"time", "wait_s", "wait_mean_s", "step_s", "samples_per_s", "tokens_per_s"}
CLOCKS |= {"tflops", "mfu", "memory_gib"}
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


def recipe(folder, **train):
    out = folder / "run"
    shards = out / "data" / "shards" / "set"
    shards.mkdir(parents=True)
    make_set(shards, {5: 40, 9: 16}, val=3)
    set_current(DataRoot(out / "data"), shards)
    path = folder / "recipe.yaml"  # JSON is YAML
    path.write_text(
        json.dumps({"name": "killed", "seed": 1, "out": str(out), "train": TRAIN | train})
    )
    return path, out


# a worker without Ray: starts in a third of the time, so that more kills fit
WORKER = """
import sys
from pathlib import Path
from jobs.config import load_recipe
from jobs.train import find_shards
from jobs.training.engine import process_group
from jobs.training.loop import train_worker
from jobs.training.prepare import make_job
recipe = load_recipe(Path(sys.argv[1]), {"train.workers": "1"})
process_group(int(sys.argv[2]))
train_worker({"job": make_job(recipe, find_shards(recipe))})
"""


@pytest.fixture
def start():
    """Start a driver, or a worker on a port; whatever is left of them ends with the test."""
    drivers = []

    def begin(path, port=None):
        command = [sys.executable, "-m", "jobs.train", str(path)]
        if port:
            command = [sys.executable, "-c", WORKER, str(path), str(port)]
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


def until(condition, driver):
    """Wait for what the driver has to bring about."""
    end = time.monotonic() + 900
    while not condition():
        assert driver.poll() is None, "the driver ended by itself"
        assert time.monotonic() < end
        time.sleep(0.01)


def test_killed_twice_ends_with_the_same_losses(tmp_path, start):
    """Catches state that only the driver or the workers' memory held.

    Workers go on for seconds after their driver's death: a quick machine needs steps to be left.
    """
    (tmp_path / "calm").mkdir()
    (tmp_path / "wild").mkdir()
    path, calm = recipe(tmp_path / "calm", steps=240)
    assert start(path).wait(900) == 0
    path, wild = recipe(tmp_path / "wild", steps=240)
    for wanted in (14, 60):
        driver = start(path)
        until(lambda wanted=wanted: max(steps_of(wild), default=0) >= wanted, driver)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        time.sleep(5)  # Ray's own processes follow their driver
    assert max(steps_of(wild)) < 240
    assert start(path).wait(900) == 0
    check_same(wild, calm, starts=3)
    assert start(path).wait(100) == 0, "a finished run says so"


def test_killed_while_saving_ends_with_the_same_losses(tmp_path, start):
    """Catches a checkpoint that exists before it is whole: each kill falls into a save."""
    (tmp_path / "calm").mkdir()
    (tmp_path / "wild").mkdir()
    path, calm = recipe(tmp_path / "calm")
    assert start(path, 29_871).wait(900) == 0
    path, wild = recipe(tmp_path / "wild")
    folder = wild / "checkpoints"
    for number, step in enumerate((20, 30, 50)):
        driver = start(path, 29_872 + number)
        pattern = f".tmp-step-{step:08d}-*"
        until(lambda pattern=pattern: any(folder.glob(pattern)), driver)
        time.sleep(0.05 * number)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        assert checkpoint.step_of(checkpoint.newest(folder)) >= step - 10
    assert start(path, 29_876).wait(900) == 0
    check_same(wild, calm, starts=4)
    assert not list(folder.glob(".tmp-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tmp_path, start, number):
    """Catches a signal that drops the steps since the last checkpoint, or hangs the workers."""
    path, out = recipe(tmp_path, steps=100_000, checkpoint_every=50_000, validate_every=0)
    driver = start(path)
    until(lambda: max(steps_of(out), default=0) >= 12, driver)
    os.kill(driver.pid, number)
    assert driver.wait(120) == 75
    assert checkpoint.step_of(checkpoint.newest(out / "checkpoints")) == max(steps_of(out))
    assert not (out / "stop").exists()


def check_same(wild, calm, starts):
    """The killed run has every step once, and the undisturbed run's numbers and weights."""
    begun = [x["step"] for x in read(wild / "metrics.jsonl") if x["kind"] == "start"]
    assert len(begun) == starts
    assert begun[0] == 0
    assert all(step > 0 for step in begun[1:])
    assert steps_of(wild) == list(range(1, max(steps_of(calm)) + 1))
    assert facts(wild) == facts(calm)
    assert hashes(wild) == hashes(calm)
