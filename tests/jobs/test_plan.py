"""The plan of a curation: held to what the same recipe then really makes."""

import json
import shutil
from collections import namedtuple

import pytest

from curation.world.config import WorldConfig
from curation.world.films import write_films
from jobs import curate, plan
from jobs.cli import DONE, WRONG_REQUEST
from jobs.config import RecipeError, make_recipe
from pipelines.contract import find_set, read_contract

FILMS = 8


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    world = WorldConfig(films=FILMS, seed=3, height=64, width=64, fps=8, seconds=(2.5, 6))
    write_films(world, folder / "films")
    values = {
        "name": "p",
        "out": str(folder / "out"),
        "scan": {"sources": [str(folder / "films")], "window": {"fps": 8, "min_s": 2, "max_s": 3}},
        "policy": {"rules": [{"score": "seconds", "min": 1}]},
        "plan": {"films": 4},
    }
    return make_recipe(values, "a test")


@pytest.fixture(scope="module")
def planned(recipe, local_ray):
    assert plan.run(recipe, []) == DONE
    return json.loads((recipe.out / "plan.json").read_text())


@pytest.mark.slow
def test_the_plan_is_what_comes(recipe, planned):
    """A figure that counts the sample for the whole, or bytes that the shards do not have."""
    assert not (recipe.out / "plan").exists()
    assert not recipe.data.ledger.exists()
    assert curate.run(recipe, []) == DONE
    contract = read_contract(find_set(recipe.data))
    made = sum(shard["bytes"] for shard in contract["shards"])
    assert planned["clips"]["value"] == pytest.approx(contract["counts"]["ok"], rel=0.3)
    assert planned["shard_bytes"]["value"] == pytest.approx(made, rel=0.3)
    assert planned["kept_hours"]["value"] == pytest.approx(contract["hours"], rel=0.3)
    assert planned["film_hours"]["low"] == planned["film_hours"]["high"], "every header was read"


@pytest.mark.slow
def test_each_pass_has_its_hours(planned):
    """A pass that the plan forgets, or whose workers told nothing."""
    assert set(planned["worker_hours"]) == {"scan", "caption", "encode"}
    for name in ("scan", "encode"):
        hours = planned["worker_hours"][name]
        assert 0 <= hours["low"] <= hours["value"] <= hours["high"]
        assert hours["value"] > 0
    parts = sum(hours["value"] for hours in planned["worker_hours"].values())
    assert planned["all_worker_hours"]["value"] == pytest.approx(parts)
    assert planned["hours_here"]["value"] == pytest.approx(parts / planned["workers_here"])


@pytest.mark.slow
def test_a_disk_that_is_too_small_is_refused(recipe, planned, monkeypatch, capsys):
    """A run that fills the disk in its third night."""
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    monkeypatch.setattr(plan, "tried", lambda *_: TRIAL)
    assert plan.run(recipe, []) == WRONG_REQUEST
    told = capsys.readouterr().err
    assert "1 kB free" in told
    assert "set `out` or `storage` to a larger one" in told


TRIAL = plan.Trial([3.0] * 4, {"scan": [1.0] * 4}, 1.0, [3.0] * 4, [1.0] * 4, [1e6] * 4, 1000)


def test_too_little_to_plan_from(recipe, tmp_path):
    """A band from one film, or a trace for a folder that is empty."""
    (tmp_path / "one.mp4").write_bytes(b"x")
    with pytest.raises(RecipeError, match="extrapolates from two films, found 1"):
        plan.run(recipe, [str(tmp_path)])
    (tmp_path / "two.mp4").write_bytes(b"x")
    with pytest.raises(RecipeError, match="no header tells a length"):
        plan.run(recipe, [str(tmp_path)])
