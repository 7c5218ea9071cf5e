"""The log is the truth; MLflow is a copy that may be late, never wrong."""

import json
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow import MlflowClient

from jobs.training.log import MetricsLog, Tail, read
from jobs.training.track import Target, Tracker, numbers, take


@pytest.fixture
def target(tmp_path, empty_mlflow):
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    out = tmp_path / "out"
    out.mkdir()
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    return Target(uri, "experiment", "run", out, {"seed": "1"}, {"recipe.yaml": "name: x\n"})


def history(target, key):
    run_id = json.loads(target.state.read_text())["run_id"]
    return [(m.step, m.value) for m in MlflowClient(target.uri).get_metric_history(run_id, key)]


def write_steps(path, first, last, resumed=0):
    log = MetricsLog(path, resumed)
    for step in range(first, last + 1):
        log.add("step", step, loss=1 / step)
    log.close()


def test_a_resumed_log_has_every_step_once(tmp_path):
    """Catches steps after the checkpoint that stay in the log, and a torn last line."""
    path = tmp_path / "metrics.jsonl"
    write_steps(path, 1, 7)
    with path.open("a") as handle:
        handle.write('{"kind": "step", "st')  # killed while writing
    write_steps(path, 5, 8, resumed=4)
    assert [line["step"] for line in read(path)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_tail_sees_lines_once_and_survives_replacement(tmp_path):
    """Catches a follower that stalls, or stops, when a resumed run replaces the file."""
    path = tmp_path / "metrics.jsonl"
    tail = Tail(path)
    assert tail.new() == []
    write_steps(path, 1, 3)
    assert [line["step"] for line in tail.new()] == [1, 2, 3]
    assert tail.new() == []
    write_steps(path, 3, 4, resumed=2)
    assert [line["step"] for line in tail.new()] == [1, 2, 3, 4]


def test_calls_stay_within_the_limit():
    """Catches a batch MLflow refuses, and one that never gets smaller than the limit."""
    line = {"kind": "step", "step": 1, "time": 0.0, **{f"m{i}": float(i) for i in range(300)}}
    assert len(take([line] * 5)) == 1
    assert len(take([{**line, **dict.fromkeys([f"n{i}" for i in range(900)], 0.0)}])) == 1
    assert numbers({"kind": "step", "step": 1, "time": 0, "a": float("nan"), "b": 2}) == {"b": 2.0}


def test_delivered_once_and_in_order_over_restarts(tmp_path, target):
    """Catches steps delivered twice after a resume, a second run, or lost artefacts."""
    path = target.out / "metrics.jsonl"
    (target.out / "a.mp4").write_bytes(b"film")
    log = MetricsLog(path, 0)
    for step in range(1, 5):
        log.add("step", step, loss=float(step))
    log.add("validation", 4, loss=0.5)
    log.add("samples", 4, files=["a.mp4"])
    log.close()
    tracker = Tracker(target, path)
    tracker.start()
    assert tracker.finish("KILLED", 120) == 0
    log = MetricsLog(path, 2)  # the run goes on from step 2
    for step in range(3, 7):
        log.add("step", step, loss=float(step))
    log.close()
    tracker = Tracker(target, path)
    tracker.start()
    assert tracker.finish("FINISHED", 120) == 0
    assert history(target, "loss") == [(step, float(step)) for step in range(1, 7)]
    assert history(target, "validation/loss") == [(4, 0.5)]
    client = MlflowClient(target.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("experiment").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["seed"] == "1"
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {"recipe.yaml", "samples"}
    assert not (tmp_path / "mlruns").exists()


class Failing(BaseHTTPRequestHandler):
    """A tracking server that is down in the worst way: it answers, late, with errors."""

    def do_GET(self):
        time.sleep(0.2)
        self.send_error(500)

    do_POST = do_GET  # noqa: N815 - the name is http.server's

    def log_message(self, *_):
        pass


def test_outage_costs_only_the_copy(tmp_path, target, capfd):
    """Catches an exception or a wait that reaches training, and lines lost for good."""
    path = target.out / "metrics.jsonl"
    server = HTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    down = Target(f"http://127.0.0.1:{server.server_port}", "e", "r", target.out, {})
    began = time.monotonic()
    tracker = Tracker(down, path)
    tracker.start()
    write_steps(path, 1, 50)
    assert time.monotonic() - began < 2
    assert tracker.finish("FINISHED", 30) == 50
    server.shutdown()
    server.server_close()
    assert capfd.readouterr().err.count("MLflow is not reachable") == 1
    assert len(read(path)) == 50
    tracker = Tracker(target, path)
    tracker.start()
    assert tracker.finish("FINISHED", 120) == 0
    assert [step for step, _ in history(target, "loss")] == list(range(1, 51))
