"""Ray's own autoscaler over nodes of this machine, for tests: starts from zero, ended by pids.

Ray's `AutoscalingCluster` does not work from its wheel, and stops every Ray of the machine.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.ray_head import client_environment, end, free_ports

ROOT = Path(__file__).parents[1]
HEAD = "ray.head.default"  # the fake provider takes its head for one of this type
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD_ID = "f" * 51 + "0" * 5  # and this id
IDLE_MINUTES = 0.15
START_S, STARTS = 120, 4


def config(address: str) -> dict[str, Any]:
    """The node types of ray_cluster.yaml, each of one core, as nodes that join `address`."""
    cluster = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    types = {}
    for name, kind in cluster["available_node_types"].items():
        head = name == cluster["head_node_type"]
        resources = {"CPU": 0} if head else {"CPU": 1}
        if name == "gpu":
            resources["GPU"] = 1
        most = 0 if head else min(3, kind["max_workers"])
        local = HEAD if head else name
        types[local] = {"resources": resources, "node_config": {}, "max_workers": most}
        if not head:
            types[local]["min_workers"] = kind["min_workers"]
    return {
        "cluster_name": "test",
        "max_workers": 3,
        "provider": {
            # By its own name, "fake_multinode", it wants a file that Ray's wheel lacks.
            "type": "external",
            "module": PROVIDER,
            "launch_multiple": True,
            "head_node_id": HEAD_ID,
            "gcs_address": address,
            "disable_launch_config_check": True,
            "disable_node_updaters": True,  # a lost node is replaced, not repaired over SSH
        },
        "available_node_types": types,
        "head_node_type": HEAD,
        "upscaling_speed": cluster["upscaling_speed"],
        "idle_timeout_minutes": IDLE_MINUTES,
        "auth": {},
        "docker": {},
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }


@contextmanager
def autoscaled() -> Iterator[dict[str, str]]:
    """The environment of a client of a head without a core, whose workers come when asked for."""
    gcs, client, listen, grpc, metrics, dashboard = free_ports(6)
    address = f"127.0.0.1:{gcs}"
    programs = Path(sys.executable).parent
    environment = client_environment()
    scaler = {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",  # which `ray up` chooses
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    (folder / "cluster.json").write_text(json.dumps(config(address)))
    command = [
        str(programs / "ray"), "start", "--head", "--block", f"--port={gcs}", "--num-cpus=0",
        f"--autoscaling-config={folder / 'cluster.json'}", f"--ray-client-server-port={client}",
        f"--dashboard-agent-listen-port={listen}", f"--dashboard-agent-grpc-port={grpc}",
        f"--metrics-export-port={metrics}", f"--dashboard-port={dashboard}",
        f"--temp-dir={folder}", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000",
        "--disable-usage-stats",
    ]  # fmt: skip
    try:
        for _ in range(STARTS):
            with (folder / "head.log").open("w") as log:
                head = subprocess.Popen(
                    command,
                    env=environment | scaler,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if runs(folder, head):
                break
            end(head)
        else:
            raise RuntimeError(f"no head: {(folder / 'head.log').read_text()[-2000:]}")
        try:
            yield environment | {"RAY_ADDRESS": address}
        finally:
            end(head)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def runs(folder: Path, head: subprocess.Popen) -> bool:
    """Whether the head comes up; Ray gives it 30 s, which a busy machine does not always."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and head.poll() is None:
        if "Ray runtime started" in (folder / "head.log").read_text():
            return True
        time.sleep(0.3)
    return False


def raylet_of(node_id: str) -> psutil.Process:
    """The process that is a node. Raises LookupError."""
    for process in psutil.process_iter(["cmdline"]):
        if f"--node_id={node_id}" in (process.info["cmdline"] or []):
            return process
    raise LookupError(node_id)
