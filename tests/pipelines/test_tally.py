"""What a pass counted, on its way out: one line, JSON lines, Prometheus, Ray's own metrics."""

import json
import time
import urllib.request
from uuid import uuid4

import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families

from pipelines import tally as module
from pipelines.tally import GAUGES, PASSES, Tally, read_passes


def finished(title: str = "scan", failed: int = 1) -> Tally:
    tally = Tally(title, "films", 4 + failed)
    tally.add("ok", earlier=True)
    for _ in range(2):
        tally.add("ok")
    tally.add("filtered", 'policy:a "quoted"\nrule')
    for _ in range(failed):
        tally.add("failed", "timeout")
    tally.close()
    return tally


def gauges(folder) -> dict:
    text = (folder / GAUGES).read_text()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_run_is_a_line(tmp_path):
    """A rerun that overwrites what the run before it counted."""
    finished().export(tmp_path, "films")
    finished(failed=2).export(tmp_path, "films")
    first, second = read_passes(tmp_path)
    assert first["status"] == {"ok": 3, "filtered": 1, "failed": 1, "skipped": 0}
    assert sum(second["status"].values()) == second["inputs"] == 6
    assert second["reasons"]["timeout"] == 2
    assert (first["run"], first["pass"], first["earlier"]) == ("films", "scan", 1)


def test_what_was_done_before_is_no_speed():
    """A rerun that finds all films done and reports a million films a second."""
    tally = Tally("scan", "films", 10, start=time.monotonic() - 2)
    for number in range(10):
        tally.add("ok", earlier=number > 5)
    tally.close()
    assert tally.rate == pytest.approx(6 / 2, rel=0.05)


def test_gauges_are_of_the_last_run_of_each_pass(tmp_path):
    """A dashboard that shows an older run, or cannot read a rule's name."""
    finished().export(tmp_path, "films")
    finished(failed=3).export(tmp_path, "films")
    finished("judge").export(tmp_path, "films")
    told = gauges(tmp_path)
    who = (("pass", "scan"), ("run", "films"))
    assert told["reelmill_pass_inputs", *who, ("status", "failed"), ("unit", "films")] == 3
    reason = ("reason", 'policy:a "quoted"\nrule')
    assert told["reelmill_pass_reasons", who[0], reason, who[1], ("unit", "films")] == 1
    ended = told["reelmill_pass_ended", ("pass", "judge"), ("run", "films"), ("unit", "films")]
    assert abs(ended - time.time()) < 60


def test_a_damaged_line_does_not_end_a_pass(tmp_path):
    """A scan of a week that fails at its end because its metrics cannot be read."""
    finished().export(tmp_path, "films")
    path = tmp_path / PASSES
    path.write_bytes(b'{"half": \n[]\n\xff\n' + path.read_bytes())
    finished().export(tmp_path, "films")
    assert len(read_passes(tmp_path)) == 2
    assert all(json.loads(line)["pass"] == "scan" for line in path.read_text().splitlines())


def test_old_runs_make_room(tmp_path, monkeypatch):
    """A file that grows for ever."""
    monkeypatch.setattr(module, "MOST_RUNS", 3)
    for failed in range(5):
        finished(failed=failed).export(tmp_path, "films")
    assert [line["status"]["failed"] for line in read_passes(tmp_path)] == [2, 3, 4]


def test_ray_counts_while_a_pass_runs(local_ray):
    """Counters that never reach the endpoint that Ray offers to Prometheus."""
    title = f"scan-{uuid4().hex[:8]}"
    finished(title)
    port = ray.nodes()[0]["MetricsExportPort"]
    wanted = f'pass="{title}"'
    name = "ray_reelmill_inputs_total{"
    deadline = time.monotonic() + 40
    lines: list[str] = []
    while time.monotonic() < deadline and len(lines) < 3:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        lines = [line for line in text.splitlines() if wanted in line and line.startswith(name)]
        time.sleep(1)
    told = {(s.labels["status"], s.labels["reason"]): s.value
            for family in text_string_to_metric_families("\n".join(lines) + "\n")
            for s in family.samples}  # fmt: skip
    assert told == {("ok", ""): 2, ("filtered", ""): 1, ("failed", "timeout"): 1}
