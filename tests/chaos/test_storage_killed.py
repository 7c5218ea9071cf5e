"""Encode into an object store survives the death of its driver, and leaves no half a set."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from curation.places import place
from pipelines.contract import find_set
from pipelines.encode import encode
from pipelines.shards import read_side
from pipelines.storage import DataRoot
from pipelines.verify import verify
from tests.encode_films import INPUTS, contents, encoded, fill_ledger, write_films, write_vaes

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
RUN = """
import sys
from curation.places import place
from pipelines.encode import encode
from pipelines.encode_config import EncodeConfig
from pipelines.storage import DataRoot
from tests.encode_films import INPUTS
encode(DataRoot(place(sys.argv[1])), EncodeConfig.model_validate_json(sys.argv[2]), INPUTS)
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    each = {"shard_clips": 1}  # 8 shards: moments to die at
    return write_vaes(tmp_path_factory.mktemp("vaes")).model_copy(update=each)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, films, config):
    return encoded(tmp_path_factory.mktemp("undisturbed"), films, config)


class Moment:
    """Holds the `count`-th upload of a name with `part` until its writer is dead, and drops it."""

    def __init__(self, part, count):
        self.part, self.left = part, count
        self.begun, self.over = threading.Event(), threading.Event()

    def __call__(self, method, path, number):
        if method != "PUT" or self.part not in path:
            return None
        self.left -= 1
        if self.left:
            return None
        self.begun.set()
        self.over.wait(300)
        return "drop"

    def wait_for(self, process, limit_s=300):
        end = time.monotonic() + limit_s
        while not self.begun.wait(0.05):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < end, f"no upload of {self.part} within {limit_s} s"


@pytest.mark.parametrize(
    ("part", "count", "workers"),
    [
        (".tar", 1, 1),
        (".tar", 5, 1),
        (".json", 14, 1),
        ("index.parquet", 1, 1),
        ("contract.json", 1, 1),
        ("current.json", 1, 1),
        (".tar", 4, 2),
    ],
)
def test_killed_and_run_again(store, proxy, films, config, undisturbed, part, count, workers):
    """A torn object, a set that verify accepts before its end, a shard that is made twice."""
    name = f"killed-{workers}-{count}-{part.replace('.', '-')}"
    root, quiet = (DataRoot(place(store.uri(f"films/{name}", p))) for p in (proxy.port, None))
    fill_ledger(quiet, films)
    moment = Moment(part, count)
    proxy.err(moment)
    settings = config.model_copy(update={"workers": workers}).model_dump_json()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(root.path), settings],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        moment.wait_for(process)
    finally:
        process.kill()
        process.wait(timeout=30)
        moment.over.set()
    time.sleep(2)  # a Ray worker may finish its shard; Ray itself ends with its driver
    folder = quiet.shards / find_set(undisturbed).name
    sealed = part == "current.json"
    assert [damage.kind for damage in verify(folder)] == ([] if sealed else ["contract_missing"])
    with pytest.raises(ValueError, match="no finished shard set"):
        find_set(quiet)
    whole = contents(find_set(undisturbed))
    there = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert there.items() <= whole.items()
    assert len(there) == len(whole) or not sealed
    done = {n for n in there if n.endswith(".tar") and read_side(folder, n.removesuffix(".tar"))}
    proxy.err(lambda method, path, number: None)
    encode(root, config, INPUTS)
    assert find_set(quiet).name == find_set(undisturbed).name
    assert contents(find_set(quiet)) == whole
    written = {x.partition("?")[0].rpartition("/")[2] for x in proxy.seen if x.startswith("PUT")}
    assert not written & done
