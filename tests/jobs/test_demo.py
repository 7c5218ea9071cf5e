"""The demo chain: order, estimates, resuming, the person's own films."""

import pytest

from jobs import demo
from jobs.cli import DONE, FAILED, TOO_MANY_REJECTED, VERBS
from jobs.config import RecipeError, load_recipe, make_recipe


@pytest.fixture
def recipe(tmp_path):
    return make_recipe({"name": "films", "out": str(tmp_path / "films")}, "test")


@pytest.fixture
def stages(monkeypatch):
    """Stages that note their turn and end as told; the real ones run in the demo itself."""
    ran, codes = [], {}

    def run_stage(stage, recipe):
        ran.append((stage, recipe.out.name))
        return codes.get(stage, DONE)

    monkeypatch.setattr(demo, "run_stage", run_stage)
    monkeypatch.setattr(demo, "closing", lambda *_: "")
    return ran, codes


def test_every_stage_is_a_verb_in_the_order_of_the_route(stages, recipe):
    """A stage left out, or one that runs before what it needs."""
    ran, _ = stages
    assert demo.run(recipe, []) == DONE
    route = [
        "world",
        "scan",
        "decide",
        "caption",
        "encode",
        "verify",
        "train",
        "generate",
        "report",
    ]
    assert [stage for stage, _ in ran] == route
    assert set(route) <= set(VERBS)


def test_own_films_make_no_world_and_a_folder_of_their_own(stages, recipe, tmp_path):
    """Films of two folders mixed in one data set."""
    ran, _ = stages
    places = [tmp_path / "a/My films!", tmp_path / "b/My films!"]
    for place in places:
        assert demo.run(recipe, [str(place)]) == DONE
    assert "world" not in {stage for stage, _ in ran}
    folders = {folder for _, folder in ran}
    assert len(folders) == 2
    assert all(folder.startswith("films-my-films-") for folder in folders)


def test_saved_recipe_is_the_one_that_ran(stages, recipe, tmp_path):
    """Printed commands that work on another recipe than the demo did."""
    assert demo.run(recipe, [str(tmp_path / "mine")]) == DONE
    (saved,) = tmp_path.glob("films-mine-*/recipe.yaml")
    again = load_recipe(saved)
    assert again.scan.sources == [str(tmp_path / "mine")]
    assert again.out == saved.parent
    assert again.scan.fingerprint() == recipe.scan.fingerprint()


def test_first_failure_ends_the_demo(stages, recipe, capsys):
    """A report that says well done over a training run that failed."""
    ran, codes = stages
    codes["encode"] = FAILED
    assert demo.run(recipe, []) == FAILED
    assert ran[-1][0] == "encode"
    assert "same command again" in capsys.readouterr().err


def test_refused_films_do_not_end_the_demo(stages, recipe):
    """One folder with many broken files and no demo at all; or a code that hides them."""
    ran, codes = stages
    codes["scan"] = TOO_MANY_REJECTED
    assert demo.run(recipe, []) == TOO_MANY_REJECTED
    assert ran[-1][0] == "report"
    codes["decide"] = TOO_MANY_REJECTED  # nothing was kept
    assert demo.run(recipe, []) == TOO_MANY_REJECTED
    assert ran[-1][0] == "decide"


def test_two_folders_are_a_wrong_request(recipe):
    """A second folder that is silently left out."""
    with pytest.raises(RecipeError, match="takes one folder"):
        demo.run(recipe, ["a", "b"])


def test_estimate_follows_the_machine():
    """An estimate that stays the same on a machine half as fast."""
    clock = demo.Clock(["world", "scan", "train"])
    assert clock.left() == sum(demo.STAGES[s] for s in ("world", "scan", "train"))
    clock.took = {"world": 2 * demo.STAGES["world"], "scan": 0.5}  # the scan was done before
    assert clock.left() == pytest.approx(2 * demo.STAGES["train"])


def test_recipes_that_ship_are_valid():
    """A recipe that the README names and that no longer loads."""
    for name in ("demo", "films"):
        found = load_recipe(demo.ROOT / f"jobs/recipes/{name}.yaml")
        assert found.name == name
