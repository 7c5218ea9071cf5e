"""A chain of trainings: what is handed on, what is passed over, and what is refused at once."""

import shutil

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file

from jobs import train
from jobs.cli import DONE, FAILED
from jobs.config import RESOLVED, RecipeError, load_recipe, make_recipe
from jobs.training import checkpoint
from jobs.training.log import read
from jobs.training.loop import train_worker
from pipelines.contract import set_current
from pipelines.storage import DataRoot
from tests.jobs.conftest import TINY

pytestmark = pytest.mark.usefixtures("alone")
STAGES = [
    {"name": "V", "train": {"steps": 4, "tasks": {"text_to_av": 0, "extend": 0}}},
    {"name": "J", "train": {"steps": 2, "lr": 1e-12, "warmup": 0}},
]


@pytest.fixture
def recipe(tmp_path, shards, empty_mlflow):
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    linked = tmp_path / "run/data/shards/set"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(shards)
    set_current(DataRoot(tmp_path / "run/data"), linked)
    values = {"name": "chain", "out": str(tmp_path / "run"), "train": TINY, "stages": STAGES}
    return make_recipe(values, "a test")


@pytest.fixture
def here(monkeypatch):
    """The workers run in this process; Ray's part is tests/chaos/test_train_killed.py's."""
    ran = []

    def fit(recipe, job):
        ran.append(recipe.name)
        train_worker({"job": job})
        return ""

    monkeypatch.setattr(train, "fit", fit)
    return ran


def test_each_stage_begins_where_the_one_before_ended(recipe, here):
    """Catches a stage from fresh weights, with the recipe's tasks, or apart from its chain."""
    assert train.run(recipe, []) == DONE
    assert here == ["chain-v", "chain-j"]
    first, second = (recipe.out / "stages" / name for name in ("01-V", "02-J"))
    assert load_recipe(second / RESOLVED).train.lr == 1e-12
    before = load_file(checkpoint.newest(first / "checkpoints") / "ema.safetensors")
    after = load_file(checkpoint.newest(second / "checkpoints") / "model.safetensors")
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-8)
    steps = [line for line in read(first / "metrics.jsonl") if line["kind"] == "step"]
    assert all("task/text_to_av/video" not in line for line in steps)
    client = MlflowClient(recipe.tracking_uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "chain"]
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    parent = runs["chain"]
    assert parent.info.status == "FINISHED"
    for name in ("train chain-v", "train chain-j"):
        assert runs[name].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert train.run(recipe, []) == DONE
    assert here == ["chain-v", "chain-j"], "finished stages are passed over"


def test_a_chain_goes_on_in_the_stage_that_stopped(recipe, here, monkeypatch, capsys):
    """Catches a chain that begins again, or goes on without the stage that failed."""
    whole = train.fit
    monkeypatch.setattr(
        train, "fit", lambda r, job: "a node is gone" if r.name == "chain-j" else whole(r, job)
    )
    assert train.run(recipe, []) == FAILED
    assert "stops in stage J" in capsys.readouterr().err
    monkeypatch.setattr(train, "fit", whole)
    assert train.run(recipe, []) == DONE
    assert here == ["chain-v", "chain-j"]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{"name": "V", "train": {"stepz": 4}}], r"stage V: train\.stepz"),
        ([{"name": "V", "train": {"tasks": {"extend": -1}}}], r"stage V: train\.tasks\.extend"),
        ([{"name": "V"}, {"name": "V"}], "'V' stands twice"),
        ([{"name": "../x"}], "should match pattern"),
    ],
)
def test_a_wrong_stage_is_refused_before_the_first_begins(tmp_path, stages, message):
    """Catches a mistake in the last stage that shows after a week."""
    values = {"name": "chain", "out": str(tmp_path), "train": TINY, "stages": stages}
    with pytest.raises(RecipeError, match=message):
        make_recipe(values, "a test")
