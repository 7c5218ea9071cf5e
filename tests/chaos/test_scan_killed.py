"""The scan survives kills: of its driver, and of a worker by a film that kills every worker."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from curation.world.config import Defects, WorldConfig
from curation.world.films import write_films
from jobs.cli import DONE, STOPPED
from jobs.config import load_recipe
from pipelines import cluster, measure
from pipelines.ledger import Ledger
from pipelines.scan import scan
from pipelines.scan_config import ScanConfig, WindowConfig

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
RUN = """
import sys
from pathlib import Path
import pipelines.scan
from pipelines.ledger import Ledger
from pipelines.scan_config import ScanConfig
pipelines.batches.COMMIT_S = 0.0  # every film at once: more moments to die at
pipelines.scan.scan(ScanConfig.model_validate_json(sys.argv[2]), Ledger(Path(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    defects = Defects(truncate=0.1, reencode=0.2, duplicate=0.1)
    write_films(WorldConfig(films=16, seconds=(3, 6), shots=(1, 3), defects=defects), folder)
    (folder / "text.mp4").write_text("not a film")
    return ScanConfig(sources=[str(folder)], window=WindowConfig(min_s=1, max_s=2))


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory, local_ray):
    ledger = Ledger(tmp_path_factory.mktemp("undisturbed"))
    scan(config, ledger)
    return ledger


def contents(ledger):
    return {
        str(p.relative_to(ledger.folder)): p.read_bytes()
        for p in sorted(ledger.folder.rglob("*"))
        if p.is_file()
    }


@pytest.mark.parametrize(
    ("table", "parts"), [("sources", 1), ("clips", 2), ("sources", 6), ("scores", 9)]
)
def test_a_killed_driver_changes_nothing(table, parts, config, undisturbed, tmp_path):
    """Films with half their clips, rows twice, or tables that tell of the kill."""
    command = [sys.executable, "-c", RUN, str(tmp_path), config.model_dump_json()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + 600
    while driver.poll() is None and time.monotonic() < end:
        if len(list(tmp_path.glob(f"{table}*/**/open-*.parquet"))) >= parts:
            break
        time.sleep(0.002)
    alive = driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=30)
    assert alive, "the scan ended before it could be killed, so nothing was tested"
    ledger = Ledger(tmp_path)
    kept = ledger.finished(config.fingerprint())
    tally = scan(config, ledger)
    assert tally.earlier == len(kept)
    assert contents(ledger) == contents(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_said_and_goes_on(number, config, undisturbed, tmp_path):
    """A scheduler's SIGTERM that ends in Ray's abort (code 134), or costs what is committed."""
    recipe = tmp_path / "recipe.yaml"
    values = {"name": "stop", "out": str(tmp_path), "scan": config.model_dump(mode="json")}
    recipe.write_text(yaml.safe_dump(values | {"max_rejected": 1.0}))
    command = [sys.executable, "-m", "jobs.scan", str(recipe)]
    # a test run in the background ignores Ctrl-C, and its children would too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as driver:
        assert any(line.startswith("hash: 17/17") for line in driver.stderr), "it never hashed"
        time.sleep(2)  # Ray Data begins
        driver.send_signal(number)
        said = driver.stderr.read()
    assert driver.returncode == STOPPED, said[-2000:]
    assert "run the same command again" in said.splitlines()[-1]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == DONE
    assert contents(Ledger(load_recipe(recipe).data.ledger)) == contents(undisturbed)


def test_a_film_that_kills_its_worker_becomes_a_row(config, undisturbed, tmp_path, monkeypatch):
    """A film that is retried for ever, or takes the films of its worker with it."""
    poison = undisturbed.rows("sources")[0]["path"]
    cluster.start()

    class Fragile(measure.Measurer):
        def _part(self, source, path, speech, part):
            if source["path"] == poison:
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._part(source, path, speech, part)

    ledger = Ledger(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(measure, "Measurer", Fragile)
        scan(config, ledger)
        assert scan(config, ledger).earlier == len(undisturbed.rows("sources")), "left alone"
    rows = {r["path"]: r for r in ledger.rows("sources")}
    others = {r["path"]: r for r in undisturbed.rows("sources")}
    assert (rows[poison]["reason"], rows[poison]["attempts"]) == ("worker_died", 2)
    assert "died 2 times" in rows[poison]["detail"]
    assert {p: r for p, r in rows.items() if p != poison} == {
        p: r for p, r in others.items() if p != poison
    }
    replayed = scan(config, ledger, replay=["worker_died"])
    assert (replayed.total, replayed.status["failed"]) == (1, 0)
    assert contents(ledger) == contents(undisturbed)
