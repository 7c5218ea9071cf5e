"""A node is lost in the middle of a training that may go on with fewer workers."""

import subprocess
import sys

import psutil
import pytest

from jobs.training.log import read
from tests.chaos.test_train_killed import TRAIN, facts, recipe, steps_of, until
from tests.ray_head import ray_head, ray_node
from tests.train_ranks import train_ranks

pytestmark = pytest.mark.chaos
STEPS = 120


def kill(node):
    """SIGKILL, as a machine that loses power."""
    for process in [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]:
        process.kill()


def losses(out):
    return [(x["step"], x["loss"]) for x in facts(out) if x["kind"] == "step"]


def test_it_goes_on_with_fewer_workers(tmp_path):
    """Catches a run that waits for the lost node, starts over, or takes other steps with one."""
    path, out = recipe(tmp_path, steps=STEPS, min_workers=1)
    shards = out / "data/shards/set"
    train_ranks(tmp_path / "calm", shards, 1, **TRAIN | {"steps": STEPS})
    with ray_head(cpus=1) as environment, ray_node(environment) as node:
        env = environment | {"RAY_ADDRESS": environment["GCS_ADDRESS"]}
        driver = subprocess.Popen([sys.executable, "-m", "jobs.train", str(path)], env=env)
        try:
            until(lambda: max(steps_of(out), default=0) >= 30, driver)
            kill(node)
            assert driver.wait(300) == 0
        finally:
            driver.kill()
            driver.wait()
    begun = [
        (x["step"] > 0, x["workers"]) for x in read(out / "metrics.jsonl") if x["kind"] == "start"
    ]
    assert begun == [(False, 2), (True, 1)]
    assert losses(out) == [(s, pytest.approx(v, rel=1e-4)) for s, v in losses(tmp_path / "calm")]
