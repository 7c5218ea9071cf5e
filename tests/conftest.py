"""What all tests share."""

import os
import secrets
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

from pipelines import cluster
from tests import store as stores


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


def pytest_collection_modifyitems(items):
    """Give all files that need Ray or the store to one process of `make test`.

    Two Rays on two cores wait for each other.
    """
    shared = {"local_ray", "store"}
    needs_ray = {item.path for item in items if shared & set(item.fixturenames)}
    for item in items:
        group = "ray" if item.path in needs_ray else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
