"""What all tests share."""

import pytest
import ray

from pipelines import cluster


@pytest.fixture(scope="session")
def local_ray():
    """One embedded Ray for the whole session: starting one takes 5 to 20 s."""
    cluster.start(cpus=2)
    yield
    ray.shutdown()
