"""A Ray head of our own for tests: random ports, a token, ended by the pids that it started."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

START_S = 120


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def client_environment() -> dict[str, str]:
    """What a head and its clients share: this Python, a token, nothing of another Ray."""
    programs = Path(sys.executable).parent
    keep = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return keep | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@contextmanager
def ray_head(cpus: int = 2) -> Iterator[dict[str, str]]:
    """Yield the environment with which a client reaches the head's jobs."""
    gcs, dashboard, client, listen, grpc, metrics = free_ports(6)
    programs = Path(sys.executable).parent
    environment = client_environment()
    folder = tempfile.mkdtemp(prefix="ray-")  # short: unix sockets have 107 characters
    command = [
        str(programs / "ray"), "start", "--head", "--block", "--include-dashboard=true",
        f"--port={gcs}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}",
        f"--dashboard-agent-listen-port={listen}", f"--dashboard-agent-grpc-port={grpc}",
        f"--metrics-export-port={metrics}", f"--num-cpus={cpus}", f"--temp-dir={folder}",
        "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1",
        "--object-store-memory=200000000", "--disable-usage-stats",
    ]  # fmt: skip
    with (Path(folder) / "head.log").open("w") as log:
        head = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(dashboard, head)
        yield environment | {
            "RAY_ADDRESS": f"http://127.0.0.1:{dashboard}",
            "GCS_ADDRESS": f"127.0.0.1:{gcs}",  # for clients and nodes
        }
    finally:
        end(head)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ray_node(environment: dict[str, str], cpus: int = 1) -> Iterator[subprocess.Popen]:
    """One node more for a head; it ends with the block."""
    folder = tempfile.mkdtemp(prefix="ray-")
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--block",
        f"--address={environment['GCS_ADDRESS']}", f"--num-cpus={cpus}",
        "--node-ip-address=127.0.0.1", "--object-store-memory=100000000", "--disable-usage-stats",
    ]  # fmt: skip
    given = {k: v for k, v in environment.items() if k != "RAY_ADDRESS"}
    with (Path(folder) / "log").open("w") as log:
        node = subprocess.Popen(command, env=given, stdout=log, stderr=log, start_new_session=True)
    try:
        yield node
    finally:
        end(node)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(port: int, head: subprocess.Popen) -> None:
    """Return when the dashboard accepts connections."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and head.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError("the Ray head did not come up")


def end(head: subprocess.Popen) -> None:
    """End the head and everything that it started, by pid."""
    try:
        family = psutil.Process(head.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    head.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([*family, psutil.Process(head.pid)] if family else [], timeout=15)
    for process in alive:
        process.kill()
    head.wait(timeout=15)
