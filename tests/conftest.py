"""What all tests share."""

import os

# Two test processes on two cores: torch's threads would only wait for each other (75 s for what
# takes 10). Read when torch is imported, so it stands before the rest.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import ray

from pipelines import cluster


@pytest.fixture(scope="session")
def local_ray():
    """One embedded Ray for the whole session: starting one takes 5 to 20 s."""
    cluster.start(cpus=2)
    yield
    ray.shutdown()


def pytest_collection_modifyitems(items):
    """Give all files that need Ray to one process of `make test`.

    Two Rays on two cores wait for each other.
    """
    needs_ray = {item.path for item in items if "local_ray" in item.fixturenames}
    for item in items:
        group = "ray" if item.path in needs_ray else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
