"""What all tests share."""

import pytest


@pytest.fixture(scope="session")
def local_ray():
    """One embedded Ray for the whole session: starting one takes 5 s, and 20 s on a busy machine."""
    import ray

    from pipelines import cluster

    cluster.start(cpus=2)
    yield
    ray.shutdown()
