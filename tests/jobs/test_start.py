"""Runs that begin with another run's weights, and parts that are not trained."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from jobs.config import RecipeError
from jobs.training import checkpoint
from jobs.training.log import read
from tests.jobs.conftest import TINY
from tests.train_ranks import train_ranks

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def first(tmp_path_factory, shards, tiny, train_alone, alone):
    out = tmp_path_factory.mktemp("first")
    train_alone(tiny(out, shards, steps=4))
    return out


def weights(out, file="model.safetensors"):
    return load_file(checkpoint.newest(out / "checkpoints") / file)


def tower(name):
    return "video" if name.startswith("video.") or ".video." in name else "other"


def test_only_what_is_free_is_trained(tmp_path, shards, tiny, train_alone, first):
    """Catches a frozen tower that moves, or one that is lost when the run goes on."""
    settings = {"init": {"path": str(first)}, "freeze": ("video",), "seed": 5}
    lines = train_alone(tiny(tmp_path, shards, steps=4, **settings))
    before, after = weights(first, "ema.safetensors"), weights(tmp_path)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same >= {name for name in before if tower(name) == "video"}
    assert len(same) < len(before)
    start = lines[0]
    assert 0 < start["trained"] < start["parameters"]
    train_alone(tiny(tmp_path, shards, steps=8, **settings))
    later = weights(tmp_path)
    assert all(torch.equal(before[n], later[n]) for n in before if tower(n) == "video")
    assert any(not torch.equal(after[n], later[n]) for n in before if tower(n) != "video")


def test_a_relative_path_means_what_it_does_here(
    tmp_path, shards, tiny, train_alone, first, monkeypatch
):
    """Catches weights that are found where `train` is typed and not where its workers run."""
    monkeypatch.chdir(first.parent)
    start = {"init": {"path": first.name}, "lr": 1e-12, "warmup": 0}
    job = tiny(tmp_path / "run", shards, steps=1, **start)
    taught = tiny(tmp_path / "student", shards, steps=1, distil={"teacher": first.name})
    monkeypatch.chdir(tmp_path)
    train_alone(job)
    found, wanted = weights(tmp_path / "run"), weights(first, "ema.safetensors")
    assert all(torch.allclose(found[name], wanted[name], atol=1e-8) for name in wanted)
    assert taught.config.distil.teacher == str(checkpoint.newest(first / "checkpoints"))
    assert taught.config.init.path == taught.config.distil.teacher


def test_some_weights_are_taken_the_rest_is_fresh(tmp_path, shards, tiny, train_alone, first):
    """Catches a tower that comes along unasked, and a name that is not translated."""
    stored = weights(first, "ema.safetensors")
    foreign = {f"net.{n}": t for n, t in stored.items() if tower(n) == "video"}
    save_file(foreign, tmp_path / "foreign.safetensors")
    init = {"path": str(tmp_path / "foreign.safetensors"), "rename": {"net.": ""}}
    train_alone(tiny(tmp_path / "a", shards, steps=1, lr=1e-12, warmup=0, seed=9, init=init))
    train_alone(tiny(tmp_path / "b", shards, steps=1, lr=1e-12, warmup=0, seed=9))
    found, fresh = weights(tmp_path / "a"), weights(tmp_path / "b")
    for name, value in found.items():
        wanted = stored[name] if tower(name) == "video" else fresh[name]
        torch.testing.assert_close(value, wanted, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init": {"path": "nowhere"}}, "holds no checkpoint"),
        ({"init": {"path": "FIRST"}, "model": {**TINY["model"], "width": 32}}, "has shape"),
        ({"init": {"path": "FIRST"}, "model": {**TINY["model"], "dual": 0}}, "the model has not"),
        ({"init": {"path": "FIRST", "only": ("pictures",)}}, "fits no tensor"),
        ({"freeze": ("vidoe",)}, "no parameter fits 'vidoe'"),
        ({"freeze": ("*",)}, "nothing to train"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_worker_starts(
    tmp_path, shards, tiny, first, changes, message
):
    """Catches a run that starts with half of its weights, or finds out in the workers."""
    if changes.get("init", {}).get("path") == "FIRST":
        changes = {**changes, "init": {**changes["init"], "path": str(first)}}
    with pytest.raises(RecipeError, match=message):
        tiny(tmp_path, shards, **changes)


def test_nan_is_refused(tmp_path, shards, tiny, train_alone, first):
    """Catches weights that make every loss NaN."""
    stored = weights(first, "ema.safetensors")
    stored["video.media_in.weight"][0, 0] = torch.nan
    save_file(stored, tmp_path / "bad.safetensors")
    job = tiny(tmp_path / "run", shards, init={"path": str(tmp_path / "bad.safetensors")})
    with pytest.raises(ValueError, match=r"video\.media_in\.weight in .* has NaN"):
        train_alone(job)


@pytest.mark.slow
def test_a_frozen_tower_is_whole_under_stage_three(tmp_path, shards, first):
    """Catches frozen parameters that ZeRO 3 cuts and nobody puts together again."""
    settings = {**TINY, "init": {"path": str(first)}, "freeze": ("video",), "zero": 3, "steps": 4}
    train_ranks(tmp_path, shards, 2, **settings)
    before, after = weights(first, "ema.safetensors"), weights(tmp_path)
    assert all(torch.equal(before[n], after[n]) for n in before if tower(n) == "video")
    assert [x["workers"] for x in read(tmp_path / "metrics.jsonl") if x["kind"] == "start"] == [2]
