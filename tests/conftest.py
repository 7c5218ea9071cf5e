"""What all tests share."""

import os
import re
import secrets
from functools import cache
from pathlib import Path

# Two test processes on two cores: torch's threads would only wait for each other (75 s for what
# takes 10). Read when torch is imported, so it stands before the rest.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Two processes that compile the same function into one cache can crash: librosa's peak_pick did in
# a new environment, where nothing is compiled yet.
os.environ["NUMBA_CACHE_DIR"] = str(
    Path(__file__).parents[1] / ".pytest_cache/numba" / os.environ.get("PYTEST_XDIST_WORKER", "one")
)
# The key of the tests' own store, random, in place of any real one; before Ray, whose workers
# inherit it.
os.environ["AWS_ACCESS_KEY_ID"] = "KEY" + secrets.token_hex(8)
os.environ["AWS_SECRET_ACCESS_KEY"] = secrets.token_hex(16)
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import pytest
import ray
from xdist.scheduler import LoadScopeScheduling

from curation.places import Remote
from pipelines import cluster
from tests import store as stores

ROOT = Path(__file__).parents[1]
HEARD = (
    "tests/curation/test_alignment.py",
    "tests/jobs/proving/",
    "tests/jobs/report/",
    "tests/jobs/test_compare.py",
    "tests/jobs/test_prove.py",
)


@pytest.fixture(scope="session")
def local_ray():
    """One embedded Ray for the whole session: starting one takes 5 to 20 s."""
    cluster.start(cpus=2)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """An S3 store with one empty bucket, which knows the key of the environment."""
    from pyarrow import fs  # noqa: PLC0415 - half a second, and only here

    with stores.running(tmp_path_factory.mktemp("store")) as found:
        system = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{found.port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        system.create_dir(stores.BUCKET)
        yield found


@pytest.fixture
def proxy(store):
    """The same store by a connection that errs on demand."""
    with stores.proxy(store) as found:
        yield found


@pytest.fixture
def fetched(monkeypatch):
    """How many bytes each request asked of the store."""
    counts = []
    part = Remote._part

    def counting(self, file, count, start):
        counts.append(count)
        return part(self, file, count, start)

    monkeypatch.setattr(Remote, "_part", counting)
    return counts


class Groups(LoadScopeScheduling):
    """Whole files to a process of `make test`: what the tests of a file share is made once.

    Files that need Ray or the store are one group (two Rays on two cores wait for each other), and
    so are those that find onsets: librosa compiles for 30 s in a new environment. Marks say nothing
    here: xdist 3.8 reads `xdist_group` from an attribute that pytest 9.2 no longer has, and then
    shares out single tests without a word.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


@cache
def group_of(path: str) -> str:
    """The group of a test file, by its path from the root of the repository."""
    if re.search(r"\b(local_ray|store)[,)]", (ROOT / path).read_text()):
        return "ray"
    return "onsets" if path.startswith(HEARD) else path


def pytest_xdist_make_scheduler(config, log):
    """Is asked by xdist's own process."""
    return Groups(config, log)
