"""Kill -9 of the driver in scan, encode and train; the same command again; the same results."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from jobs.config import load_recipe
from tests.e2e import route

pytestmark = pytest.mark.chaos
PATIENCE_S = 600


def in_scan(out: Path) -> bool:
    return any((out / "data/ledger/sources").glob("*.parquet"))


def in_encode(out: Path) -> bool:
    return any((out / "data/shards").rglob("*.tar"))


def in_train(out: Path) -> bool:
    log = out / "metrics.jsonl"
    return log.is_file() and log.read_text().count('"kind": "step"') >= 4


MOMENTS = (in_scan, in_encode, in_train)


def kill_when(recipe: Path, moment) -> None:
    """Start the demo and SIGKILL its driver as soon as `moment` is seen."""
    out = load_recipe(recipe).out
    with (recipe.parent / f"{moment.__name__}.log").open("w") as log:
        driver = subprocess.Popen(route.command(recipe), cwd=route.ROOT, stdout=log, stderr=log)
    try:
        until = time.monotonic() + PATIENCE_S
        while not moment(out):
            assert driver.poll() is None, f"the demo ended before {moment.__name__} was seen"
            assert time.monotonic() < until, f"{moment.__name__} was not seen"
            time.sleep(0.02)
    finally:
        if driver.poll() is None:
            os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    assert driver.returncode == -signal.SIGKILL


def test_killed_three_times_ends_the_same(tmp_path):
    """A kill that leaves half a shard, a clip twice, or a training run that starts over."""
    calm = route.write_recipe(tmp_path / "calm")
    assert route.run(calm).returncode == 0
    wild = route.write_recipe(tmp_path / "wild")
    for moment in MOMENTS:
        kill_when(wild, moment)
    ended = route.run(wild)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert route.results(wild) == route.results(calm)
