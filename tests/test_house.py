"""The house rules of docs/design.md, held by reading the code."""

import ast
import os
import re
import subprocess
from pathlib import Path

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from jobs.cli import VERBS

ROOT = Path(__file__).parent.parent
PACKAGES = ("curation", "model", "pipelines", "jobs", "benchmarks")
MAY_IMPORT = {
    "curation": set(),
    "model": set(),
    "pipelines": {"curation", "model"},
    "jobs": {"curation", "model", "pipelines"},
    "benchmarks": {"curation", "model", "pipelines", "jobs"},
}
# module -> the only places that may import it
ONLY_IN = {
    "ray.data": ("pipelines/", "benchmarks/"),
    "ray.train": ("jobs/", "benchmarks/"),
    "deepspeed": ("jobs/", "benchmarks/"),
    "mlflow": ("jobs/", "benchmarks/"),
    "ray": ("pipelines/", "jobs/", "benchmarks/"),
    "torch.distributed": ("pipelines/", "jobs/", "benchmarks/"),
    "av": ("curation/media",),
    "decord": ("curation/media", "benchmarks/"),
    "pickle": (),
    "cloudpickle": (),
    "marshal": (),
    "shelve": (),
    "dill": (),
    "joblib": (),
}
# calls that run code or leave a folder, and the only file that may make each
ONLY_CALLED_IN = {
    "eval": (),
    "exec": (),
    "os.system": (),
    "os.popen": (),
    "tempfile.mktemp": (),
    "torch.load": (),
    "yaml.load": ("jobs/config.py",),  # with a SafeLoader of its own
    "yaml.unsafe_load": (),
    "yaml.full_load": (),
}
# `extractfile` reads one member as a stream and is fine; these two write where the archive says
METHODS_NOWHERE = {"extractall", "extract", "set_trace"}
MAX_LINES = 400


def sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def code() -> list[Path]:
    return [path for path in sources() if path.parts[0] in PACKAGES]


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), str(path))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_rooms_import_only_what_the_table_allows():
    """A lower room reaching into a higher one, e.g. model/ importing pipelines/."""
    wrong = [
        f"{path} imports {name}"
        for path in code()
        for name in imported(path)
        if (room := name.split(".")[0]) in PACKAGES
        and room != path.parts[0]
        and room not in MAY_IMPORT[path.parts[0]]
    ]
    assert not wrong


def test_libraries_stay_in_their_rooms():
    """Ray Data outside pipelines/, DeepSpeed outside jobs/, a second place that opens media."""
    wrong = [
        f"{path} imports {name}"
        for path in code()
        for name in imported(path)
        for library, places in ONLY_IN.items()
        if (name == library or name.startswith(f"{library}."))
        and not any(str(path).startswith(place) for place in places)
    ]
    assert not wrong


def test_no_relative_imports():
    """`from . import x`, which hides from the import table and breaks `python -m jobs.<verb>`."""
    wrong = [
        f"{path}:{node.lineno}"
        for path in code()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not wrong


def test_nothing_runs_code_from_data():
    """eval, unpickling loads, extraction and shells outside the one allowed place (S06)."""
    wrong = []
    for path in code():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call):
                continue
            name = dotted(node.func)
            allowed = ONLY_CALLED_IN.get(name)
            if allowed is not None and str(path) not in allowed:
                wrong.append(f"{path}:{node.lineno} calls {name}")
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS_NOWHERE:
                wrong.append(f"{path}:{node.lineno} calls .{node.func.attr}")
            for key in node.keywords:
                on = isinstance(key.value, ast.Constant) and key.value.value is True
                if key.arg in {"shell", "allow_pickle"} and on:
                    wrong.append(f"{path}:{node.lineno} passes {key.arg}=True")
                if name == "torch.load" and key.arg == "weights_only" and not on:
                    wrong.append(f"{path}:{node.lineno} torch.load without weights_only=True")
    assert not wrong


def test_files_stay_short():
    """A file that nobody can read in one go."""
    lines = {str(path): len((ROOT / path).read_text().splitlines()) for path in sources()}
    assert not {path: count for path, count in lines.items() if count > MAX_LINES}


def test_verbs_run_as_modules():
    """A verb that works as `reelmill x` but not as `python -m jobs.x`, which is what Ray runs."""
    for verb in VERBS:
        single, package = ROOT / f"jobs/{verb}.py", ROOT / f"jobs/{verb}/__main__.py"
        path = single if single.is_file() else package
        assert path.is_file(), f"jobs/{verb}.py is missing"
        assert f'main_verb("{verb}")' in path.read_text(), f"{path} does not end with main_verb"


def test_promises_of_the_readme_name_a_test_that_exists():
    """A promise whose test was renamed or never written."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "README.md").read_text())
    assert named, "the README's table of promises is empty"
    for file, test in named:
        path = ROOT / file
        assert path.is_file(), f"{file} is not there"
        functions = {n.name for n in ast.walk(ast.parse(path.read_text())) if hasattr(n, "name")}
        assert test in functions, f"{file} has no {test}"


def test_ci_runs_what_the_readme_says():
    """A CI that passes while the command a reader is told to run fails."""
    script = (ROOT / ".ci/run").read_text()
    commands = [line for line in script.splitlines() if line.startswith("make")]
    assert commands[0] == "make test"
    assert "`make test`" in (ROOT / "README.md").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_cluster_file_is_accepted_and_closed():
    """A ray_cluster.yaml that `ray up` refuses, starts workers at once, or listens to everybody."""
    config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    validate_config(prepare_config(config))
    workers = {n: t for n, t in config["available_node_types"].items() if n != "head"}
    assert {"cpu", "gpu"} <= set(workers)
    assert all(kind["min_workers"] == 0 for kind in workers.values())
    assert config["provider"]["use_internal_ips"] is True
    assert "IpPermissions" not in config["provider"]["security_group"]
    head, worker = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head
    assert "RAY_AUTH_MODE=token" in head
    assert "RAY_AUTH_MODE=token" in worker
    assert "auth_token" in " ".join(config["file_mounts"])
