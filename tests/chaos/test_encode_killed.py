"""Encode survives the death of its driver: the same command ends with the same bytes."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.contract import find_set
from pipelines.encode import encode
from pipelines.shards import read_side
from pipelines.storage import DataRoot
from tests.encode_films import INPUTS, contents, encoded, fill_ledger, write_films, write_vaes

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
EACH = {"shard_clips": 1}  # 8 shards: moments to die at
RUN = """
import sys
from pathlib import Path
from pipelines.encode import encode
from pipelines.encode_config import EncodeConfig
from pipelines.storage import DataRoot
from tests.encode_films import INPUTS
encode(DataRoot(Path(sys.argv[1])), EncodeConfig.model_validate_json(sys.argv[2]), INPUTS)
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_vaes(tmp_path_factory.mktemp("vaes")).model_copy(update=EACH)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, films, config):
    return encoded(tmp_path_factory.mktemp("undisturbed"), films, config)


def start(root, config):
    command = [sys.executable, "-c", RUN, str(root.path), config.model_dump_json()]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(root, pattern, count, process, limit_s=600):
    """Until `count` files match in the set being made; False when the run ended before."""
    end = time.monotonic() + limit_s
    while process.poll() is None:
        if len(list(root.shards.glob(f"*/{pattern}"))) >= count:
            return True
        assert time.monotonic() < end, f"no {count} x {pattern} within {limit_s} s"
        time.sleep(0.002)
    return False


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("pattern", "count"),
    [(".tmp-*", 1), ("*.tar", 1), ("*.json", 3), ("*.json", 8), ("index.parquet", 1)],
)
def test_killed_and_run_again(tmp_path, films, config, undisturbed, workers, pattern, count):
    """Catches torn shards, a shard made twice with other bytes, and leftovers in the set."""
    root = DataRoot(tmp_path)
    fill_ledger(root, films)
    process = start(root, config.model_copy(update={"workers": workers}))
    try:
        killed = wait_for(root, pattern, count, process)
    finally:
        process.kill()
        process.wait(timeout=30)
    assert killed, "the run ended before it could be killed, so nothing was tested"
    time.sleep(1)  # a Ray worker may finish its shard; Ray itself ends with its driver
    folder = next(root.shards.iterdir())
    names = [path.stem for path in folder.glob("*.tar") if read_side(folder, path.stem)]
    before = {name: (folder / f"{name}.tar").stat().st_ino for name in names}
    encode(root, config, INPUTS)
    assert find_set(root).name == find_set(undisturbed).name
    assert contents(folder) == contents(find_set(undisturbed))
    assert {name: (folder / f"{name}.tar").stat().st_ino for name in names} == before
    shutil.rmtree(root.path)
