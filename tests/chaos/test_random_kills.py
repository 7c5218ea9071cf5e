"""Curation killed at random, driver or workers: the same command ends with the same data."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.config import load_recipe
from jobs.failures import letters_of
from pipelines.contract import find_set, read_contract
from pipelines.ledger import Ledger

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
KILLS, LIMIT_S = 10, 600
WORKER_KILLS, EVERY_S = 10, 2.0
RECIPE = """
name: killed
out: {out}
scan:
  sources: [{films}]
  val_share: 0.2
  window: {{fps: 8, min_s: 2.0, max_s: 2.2}}
judge: {{judges: [events]}}
encode: {{shard_clips: 4, text: [short]}}
"""
WORLD = """
name: films
out: {out}
world:
  films: 24
  seconds: [4, 6]
  shots: [1, 3]
  defects: {{silence: 0.1, freeze: 0.1, truncate: 0.1, reencode: 0.1, duplicate: 0.1}}
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films with defects, and a text that is none."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "world.yaml").write_text(WORLD.format(out=folder))
    verb(["world", str(folder / "world.yaml")])
    (folder / "films" / "text.mp4").write_text("not a film")
    return folder / "films"


@pytest.fixture(scope="module")
def calm(films, tmp_path_factory):
    """A run that was left alone: what it gave, and its seconds."""
    recipe = write(tmp_path_factory.mktemp("calm"), films)
    begun = time.monotonic()
    verb(["curate", str(recipe)])
    return results(recipe), time.monotonic() - begun


def write(folder, films):
    path = folder / "killed.yaml"
    path.write_text(RECIPE.format(out=folder / "run", films=films))
    return path


def start(words):
    log = subprocess.DEVNULL
    command = [sys.executable, "-m", f"jobs.{words[0]}", *words[1:]]
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


def verb(words):
    assert start(words).wait(LIMIT_S) in (0, 3)


def results(recipe):
    """Every row of the ledger and every byte of the shards; no path of the run, no time."""
    data = load_recipe(recipe).data
    ledger = Ledger(data.ledger)
    contract = read_contract(find_set(data))
    tables = {
        name: sorted(json.dumps(row, sort_keys=True, default=str) for row in ledger.rows(name))
        for name in ledger.tables()
    }
    shards = [(shard["name"], shard["sha256"]) for shard in contract["shards"]]
    return {"shards": shards, "contract": contract["fingerprint"], **tables}


def test_a_driver_killed_ten_times(films, calm, tmp_path):
    """Half a table, a clip twice, a shard with other bytes, accounting that tells of a kill."""
    expected, seconds = calm
    drawn = random.Random(4)
    kills, runs = 0, 0
    while kills < KILLS:
        runs += 1
        folder = tmp_path / str(runs)
        folder.mkdir()
        recipe = write(folder, films)
        while kills < KILLS:
            driver = start(["curate", str(recipe)])
            try:
                driver.wait(drawn.uniform(0.05, 0.9) * seconds)
                break  # it came to its end: the next kill is of another run
            except subprocess.TimeoutExpired:
                driver.kill()
                driver.wait()
                kills += 1
        verb(["curate", str(recipe)])
        assert results(recipe) == expected


def workers(driver):
    """The actors that a driver's passes run in now."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            found += [process] if process.name().startswith("ray::MapWorker") else []
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_worker_killed_every_two_seconds(films, calm, tmp_path):
    """Rows that went with their worker, rows twice, a pass that gives up.

    A film may be in hand at two deaths and be set aside for it: replay brings it back.
    """
    recipe = write(tmp_path, films)
    drawn = random.Random(5)
    kills, until = 0, time.monotonic() + LIMIT_S
    driver = start(["curate", str(recipe)])
    try:
        while driver.poll() is None and time.monotonic() < until:
            time.sleep(EVERY_S)
            if kills < WORKER_KILLS and (alive := workers(driver)):
                drawn.choice(alive).kill()
                kills += 1
        assert driver.poll() in (0, 3)
    finally:
        driver.kill()
        driver.wait()
    assert kills >= WORKER_KILLS, f"only {kills} workers were killed, so little was tested"
    if any(letter.reason == "worker_died" for letter in letters_of(load_recipe(recipe))):
        verb(["replay", str(recipe), "--reason", "worker_died"])
        verb(["curate", str(recipe)])
    found = results(recipe)
    # What was set aside may have left a smaller set behind, with a table of its own.
    assert {name: found.get(name) for name in calm[0]} == calm[0]
