"""One command takes films through every room; running it again changes nothing."""

import math
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from curation.media import MediaReader
from jobs.cli import STOPPED
from jobs.config import load_recipe
from tests.e2e import route

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    recipe = route.write_recipe(tmp_path_factory.mktemp("route"))
    ended = route.run(recipe)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return recipe, ended.stderr


def test_every_room_leaves_its_result(done):
    """A demo that ends well without having made one of the things it promises."""
    recipe, said = done
    out = load_recipe(recipe).out
    found = route.results(recipe)
    assert 8 <= len(found["clips"]) <= 16
    assert len(found["shards"]) >= 2
    assert sorted(found["losses"]) == list(range(1, route.STEPS + 1))
    assert all(math.isfinite(loss) for loss in found["losses"].values())
    clips = sorted((out / "clips").glob("*.mp4"))
    assert len(clips) == route.CLIPS
    with MediaReader() as reader:
        for clip in clips:
            probe = reader.probe(clip)
            assert probe.video.codec == "h264"
            assert probe.audio.codec == "aac"
            assert clip.with_suffix(".json").is_file()
    page = (out / "report.html").read_text()
    parts = "generated training funnel rules scores kept clips latents shards recipe"
    for part in parts.split():
        assert f'id="{part}"' in page
    for path in ("ledger", "shards", "step-", "clips", "report.html", "mlflow"):
        assert path in said.rpartition("done in")[2]


def test_tracking_has_the_run(done):
    """An MLflow page without the run that the demo tells the reader to open."""
    recipe = load_recipe(done[0])
    client = MlflowClient(tracking_uri=recipe.tracking_uri)
    experiment = client.get_experiment_by_name(recipe.name)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(run.info.run_id, "loss")) == route.STEPS
    artefacts = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert "recipe.yaml" in artefacts


def test_running_again_changes_nothing(done):
    """A second run that encodes, trains or generates over again."""
    recipe, _ = done
    out = load_recipe(recipe).out
    before, files = route.results(recipe), stamps(out)
    ended = route.run(recipe)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert route.results(recipe) == before
    after = stamps(out)
    kinds = ("films/", "data/shards/", "checkpoints/", "clips/")
    changed = {name for name in files | after if files.get(name) != after.get(name)}
    assert not {name for name in changed if name.startswith(kinds)}


def test_ctrl_c_in_training_says_how_to_go_on(tmp_path):
    """A stop that looks like a failure, or a bare exit that leaves a person guessing."""
    recipe = route.write_recipe(tmp_path)
    log = load_recipe(recipe).out / "metrics.jsonl"
    # a test run in the background ignores Ctrl-C, and its children would too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    demo = subprocess.Popen(
        [*route.command(recipe), "--train.steps", "2000"],
        cwd=route.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 600
    while demo.poll() is None and time.monotonic() < until:
        if log.is_file() and '"step": 4' in log.read_text():
            break
        time.sleep(0.1)
    demo.send_signal(signal.SIGINT)
    _, said = demo.communicate(timeout=120)
    assert demo.returncode == STOPPED, said[-2000:]
    assert "run the same command again" in said.splitlines()[-1]


def stamps(out: Path) -> dict[str, int]:
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
