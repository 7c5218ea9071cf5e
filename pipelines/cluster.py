"""Ray, started once: a quiet local one by default, the cluster of RAY_ADDRESS where that is set."""

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import psutil  # Ray brings its own
import ray
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.exceptions import AuthenticationError

from curation.progress import say

ROOT = Path(__file__).parent.parent
OBJECT_STORE_BYTES = 256 << 20  # rows are small: a scan of 10,000 clips holds under 10 MB
STARTS = 8  # of Ray, 30 s each: with ten runnable processes on two cores four were not enough
NOT_SHIPPED = [".git", ".venv", "runs", "shared", ".mypy_cache", ".ruff_cache", "**/__pycache__"]

# What every worker needs in its environment, and why.
WORKER_ENV = {
    "OMP_NUM_THREADS": "1",  # one actor a core; threads on top of that only fight
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # `uv run` must not rebuild the environment per worker
    "PYTHONWARNINGS": "ignore::FutureWarning",
}


def worker_env() -> dict[str, str]:
    """Environment of the workers; DeepSpeed probes for a GPU unless it is told the accelerator."""
    import torch  # noqa: PLC0415 - 2 s that a verb without Ray need not pay

    return WORKER_ENV | {"DS_ACCELERATOR": "cuda" if torch.cuda.is_available() else "cpu"}


def start(cpus: int | None = None) -> None:
    """Make sure that Ray runs, and leave it running: the chain's verbs share it.

    Without RAY_ADDRESS a private local Ray starts (no dashboard) and inherits our environment; it
    ends with this process. With it, the repository is shipped as working_dir, unless this process
    is itself a Ray job, whose files were shipped by whoever submitted it. Raises ConnectionError.
    """
    if ray.is_initialized():
        return
    quiet()
    on_term = signal.getsignal(signal.SIGTERM)
    start_or_connect(cpus)
    if callable(on_term) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_term)  # Ray's own answer is to abort


def start_or_connect(cpus: int | None) -> None:
    """Start a local Ray, in a few attempts, or join the cluster of RAY_ADDRESS."""
    if address := os.environ.get("RAY_ADDRESS"):
        connect(address)
        return
    for name, value in worker_env().items():
        os.environ.setdefault(name, value)
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(p for p in paths if p))
    for attempt in range(STARTS):
        before = set(psutil.Process().children(recursive=True))
        try:
            start_local(cpus)
        except Exception as error:  # Ray raises the class itself
            if "timed out during startup" not in str(error) or attempt == STARTS - 1:
                raise
            say("Ray did not start within its 30 s on this busy machine; once more")
            end_children(before)
        else:
            return


def end_children(before: set[psutil.Process]) -> None:
    """End what a failed start left; Ray would keep it as long as this process lives."""
    left = set(psutil.Process().children(recursive=True)) - before
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=10)


def start_local(cpus: int | None) -> None:
    """A private Ray on this machine."""
    ray.init(
        address="local",  # never a stranger's Ray that happens to run on this machine
        num_cpus=cpus,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def connect(address: str) -> None:
    """Join the cluster at `address`. Raises ConnectionError that says what to set."""
    environment: dict[str, Any] = {"env_vars": worker_env()}
    if RAY_JOB_CONFIG_JSON_ENV_VAR in os.environ:
        os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")  # merge, ours wins
    else:
        environment |= {"working_dir": str(ROOT), "excludes": NOT_SHIPPED}
    try:
        ray.init(
            address=address,
            runtime_env=environment,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except AuthenticationError as error:
        raise ConnectionError(
            f"the Ray cluster at {address} wants a token: set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the one its head was started with"
        ) from error
    except ConnectionError as error:
        raise ConnectionError(
            f"no Ray cluster answers at RAY_ADDRESS={address}; unset it to run locally"
        ) from error


def quiet() -> None:
    """Our own progress lines are the output: Ray's bars and statistics stay out of them."""
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Its C++ side warns at level ERROR about what Ray Data itself does (ray#53727).
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)


def cpus() -> int:
    """CPUs of the cluster now; at least 1, since a sleeping autoscaler shows none."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def is_local() -> bool:
    """Whether this is the embedded Ray."""
    return not os.environ.get("RAY_ADDRESS")
