"""The scan on a cluster that grows for it, loses a node in the middle, and shrinks after it."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from curation.world.config import WorldConfig
from curation.world.films import write_films
from pipelines.ledger import Ledger
from pipelines.scan import scan
from pipelines.scan_config import ScanConfig, WindowConfig
from tests.chaos.test_scan_killed import contents
from tests.ray_autoscaler import autoscaled, raylet_of

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
LIMIT_S = 400  # a driver that waits for nodes that never come
DRIVER = """
import json, sys, threading, time
from pathlib import Path
import ray
import pipelines.scan
from pipelines import cluster
from pipelines.ledger import Ledger
from pipelines.scan_config import ScanConfig
pipelines.batches.COMMIT_S = 0.0  # films done are seen at once
cluster.start()
done = threading.Event()

def watch():
    idle = 0
    while not (done.is_set() and idle > 2):
        nodes = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU")]
        films = len(list(Path(sys.argv[1]).glob("sources/open-*.parquet")))
        print(json.dumps({"nodes": nodes, "films": films, "done": done.is_set()}), flush=True)
        idle = 0 if nodes else idle + 1
        time.sleep(0.5)

thread = threading.Thread(target=watch)
thread.start()
try:
    pipelines.scan.scan(ScanConfig.model_validate_json(sys.argv[2]), Ledger(Path(sys.argv[1])))
finally:
    done.set()
thread.join()
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    write_films(WorldConfig(films=24, seconds=(4, 5), shots=(1, 3)), folder)
    return ScanConfig(sources=[str(folder)], window=WindowConfig(min_s=1, max_s=2))


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory, local_ray):
    ledger = Ledger(tmp_path_factory.mktemp("undisturbed"))
    scan(config, ledger)
    return contents(ledger)


def test_it_grows_loses_a_node_and_shrinks(config, undisturbed, tmp_path):
    """A pool that the autoscaler never sees, films that went with their node, nodes that stay."""
    seen = []
    killed = None
    with autoscaled() as environment:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(tmp_path), config.model_dump_json()],
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        late = threading.Timer(LIMIT_S, driver.kill)
        late.start()
        try:
            for line in driver.stdout:
                if not line.startswith("{"):
                    continue  # Ray tells of the lost node there too
                seen.append(json.loads(line))
                if killed is None and len(seen[-1]["nodes"]) >= 2 and seen[-1]["films"] >= 2:
                    killed = seen[-1]["nodes"][0]
                    raylet_of(killed).kill()
            assert driver.wait(timeout=30) == 0
        finally:
            late.cancel()
            driver.kill()
            driver.wait(timeout=30)
    working = [len(s["nodes"]) for s in seen if not s["done"]]
    assert working[0] == 0, "workers start from zero"
    assert max(working) >= 2, "it grew"
    assert killed, "no node was lost, so nothing was tested"
    assert killed not in seen[-1]["nodes"]
    assert seen[-1]["nodes"] == [], "it shrank again"
    assert contents(Ledger(tmp_path)) == undisturbed
