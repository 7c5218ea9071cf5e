"""The proof on an untrained run: every capability is asked for, measured and shown."""

import json
import re
import shutil

import numpy as np
import pytest

from benchmarks.random_shards import make_set
from curation.world.config import Combination, WorldConfig
from curation.world.film import make_film
from jobs.config import RecipeError, make_recipe
from jobs.generate import find_checkpoint
from jobs.maker import Maker
from jobs.prove import clips_of, prove, run
from jobs.proving import budget
from jobs.proving.budget import Plan
from jobs.proving.cases import (
    CAPABILITIES,
    EDIT,
    FEW,
    HELD_OUT,
    LONG,
    REFERENCES,
    TEXT,
    can,
    case,
    worlds,
)
from jobs.proving.made import make
from jobs.proving.others import CHANGED, alike, changed, edited
from jobs.proving.page import card, lines, render
from jobs.proving.sent import metrics
from jobs.proving.truth import expected
from jobs.training.loop import train_worker
from jobs.training.mix_config import TaskMix
from tests.embedded_vaes import with_vaes

HELD = ({"shape": "square", "colour": "red"},)
WORLD = {"height": 32, "width": 32, "shapes": ["ball", "square"], "motions": ["fall", "throw"]}
PLAN = Plan(minutes=2, steps=2, clips=2, step_s=1.0, clip_s=1.0, start_s=1.0, before_s=1.0)

ASKED = (TEXT, HELD_OUT, "extension", "sound for a picture")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, tiny, alone):
    """Two steps on random latents, between the embedded autoencoders."""
    root = tmp_path_factory.mktemp("prove")
    make_set(root / "shards", {17: 16}, size=32, channels=16, text_dim=384, val=3)
    job = tiny(root / "out", root / "shards", steps=2)
    train_worker({"job": with_vaes(job, "embedded")})
    out = root / "out"
    shutil.copytree(out / "checkpoints", out / "proof" / "untrained")
    values = {"name": "t", "out": str(out), "world": WORLD, "prove": {"held_out": HELD}}
    return make_recipe(values | {"generate": {"steps": 1, "threads": 1}}, "test")


@pytest.fixture(scope="module")
def proof(recipe):
    """Two clips a capability."""
    return prove(recipe, PLAN, asked_of(recipe, ASKED))


def asked_of(recipe, names):
    tests = worlds(recipe.world, recipe.prove.held_out, recipe.prove.seed)
    return {name: tests[HELD_OUT if name == HELD_OUT else TEXT] for name in names}


@pytest.mark.slow
def test_every_capability_is_measured_within_its_bounds(recipe, proof):
    """Catches a capability without rows, and an untrained network that passes for a trained one."""
    rows = {(row.capability, row.measure): row for row in proof.rows}
    assert {row.capability for row in proof.rows} == set(ASKED)
    perfect = rows[TEXT, "colour"]
    assert perfect.made.value <= 0.5 < perfect.bounds["reencoded"].value
    assert perfect.reached is False
    assert rows[HELD_OUT, "colour"].bounds["reencoded"].value == 1.0
    row = rows["extension", "kept before it is put back"]
    # a random picture beside what is kept costs the decoder some of it
    assert 15 < row.made.value <= row.bounds["reencoded"].value + 3
    onsets = rows["sound for a picture", "sounds on the film's own"]
    assert onsets.made.value < onsets.bounds["reencoded"].value == pytest.approx(1, abs=0.1)
    assert json.loads(json.dumps(card(proof, recipe, PLAN, 1.0)))["rows"]


@pytest.mark.slow
def test_the_page_is_closed_and_shows_every_row(recipe, proof):
    """Catches a page that loads something, a row or a clip that is left out."""
    page = render(proof, recipe, PLAN, 61.0)
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page)
    assert "<script" not in page
    assert page.count("<video") == 2 * len(ASKED)
    for row in proof.rows:
        assert row.measure.replace("'", "&#39;") in page
    assert "red square" in page
    told = "\n".join(lines(proof.rows))
    assert len(told.splitlines()) == len(proof.rows)
    assert "missed" in told
    names = metrics(proof.rows)
    assert all(re.fullmatch(r"[\w/. -]{1,250}", name) for name in names)
    assert len(names) == sum(1 + len(row.bounds) for row in proof.rows if row.made) + sum(
        len(row.bounds) for row in proof.rows if not row.made
    )


@pytest.mark.slow
def test_what_else_can_be_asked_is_made_and_measured(recipe):
    """Catches a request that the generator refuses, and a given picture that is not kept."""
    rest = [name for name in CAPABILITIES if name not in ASKED]
    rows = prove(recipe, PLAN, asked_of(recipe, rest)).rows
    assert {row.capability for row in rows} == set(rest)
    kept = [row for row in rows if row.unit == "dB"]
    nothing_kept = {"picture for a sound", LONG, *FEW, *REFERENCES}
    assert {row.capability for row in kept} == set(rest) - nothing_kept
    assert all(15 < row.made.value <= row.bounds["reencoded"].value + 3 for row in kept)
    perfect = {
        (row.capability, row.measure): row.bounds["reencoded"].value
        for row in rows
        if row.measure in ("colour", "pitch")
    }
    assert {capability for capability, _ in perfect} == {EDIT, LONG, *FEW, *REFERENCES}
    assert set(perfect.values()) == {1.0}, "a film that would be right is not what is asked for"
    assert [row.capability for row in rows if row.measure == "drift"] == [LONG]


@pytest.mark.slow
def test_a_rerun_makes_nothing_twice(recipe, proof):
    """Catches clips made again after a stop, which would cost the time that training had."""
    maker = Maker(find_checkpoint(recipe), "cpu")
    maker.draw = lambda request: pytest.fail(f"{request.name} is made again")
    wanted = [clip.case for clip, _ in proof.clips["extension"]]
    again = make(maker, recipe, wanted, clips_of(recipe))
    assert again == [clip for clip, _ in proof.clips["extension"]]
    assert again[0].kept.keys() == {"kept", "kept_reencoded", "seam"}


def test_worlds_are_disjoint_and_keep_their_names():
    """Catches test films that training has seen, and a second run that holds nothing out."""
    base = WorldConfig(**WORLD, films=8, defects={"silence": 0.5}, unnamed=0.5)
    held = (Combination(**HELD[0]),)
    found = worlds(base, held, 7)
    kinds = {name: set(world.kinds) for name, world in found.items()}
    assert not kinds["train"] & kinds[HELD_OUT]
    assert kinds["train"] == kinds[TEXT]
    assert len({world.seed for world in found.values()}) == 3
    assert found["train"].defects.silence == found["train"].unnamed == 0.5
    assert found[TEXT].unnamed == found[HELD_OUT].unnamed == 0, "a prompt must say what it wants"
    assert found[TEXT].defects.silence == found[HELD_OUT].defects.silence == 0
    assert worlds(found["train"], held, 7) == found, "a saved recipe gives the same worlds"


def test_what_cannot_be_is_refused(tmp_path):
    """Catches an hour of training before it is seen that nothing is left to train on."""
    everything = [{"shape": "ball"}]
    values = {"name": "t", "out": str(tmp_path), "prove": {"held_out": everything}}
    with pytest.raises(RecipeError, match=r"prove.held_out.*leave no kind"):
        run(make_recipe(values, "test"), [])
    with pytest.raises(RecipeError, match="takes no further words"):
        run(make_recipe({"name": "t", "out": str(tmp_path)}, "test"), ["x"])


def test_only_what_is_trained_is_asked():
    """Catches a row of inpainting for a network that never had to inpaint."""
    assert can(TaskMix()) == [TEXT, HELD_OUT, *FEW, "first frame", "extension", LONG]
    assert "inpainting" in can(TaskMix(inpaint=0.1))


def test_an_edit_changes_what_is_named_and_nothing_else(tmp_path):
    """Catches an edit that moves the object, leaves its old sound, or a mask that shows the old."""
    world = WorldConfig(**WORLD | {"height": 64, "width": 64}, seed=7)
    for number in range(6):
        before, after = make_film(world, number), edited(world, number)
        (old,), (new,) = before.truth["objects"], after.truth["objects"]
        assert new["colour"] != old["colour"]
        assert new["shape"] != old["shape"]
        assert new["track"] == old["track"]
        times = [[event["time"] for event in film.truth["events"]] for film in (before, after)]
        assert times[0] == times[1]
        asked = case(EDIT, world, number, tmp_path)
        assert f"{new['colour']} {new['shape']}" in asked.prompt
        assert asked.truth.events == expected(after.truth).events
        outside = changed(before, after) == 0
        assert np.abs(before.pixels.astype(int) - after.pixels)[outside].max() <= CHANGED
        assert 0.05 < 1 - outside.mean() < 0.5


def test_only_the_reference_tells_what_is_asked_for(tmp_path):
    """Catches a prompt that names what the reference is to show, and a reference that is the
    film that is asked for.
    """
    world = WorldConfig(**WORLD | {"height": 64, "width": 64}, seed=7)
    for capability, tag in REFERENCES.items():
        for number in range(3):
            asked = case(capability, world, number, tmp_path)
            (thing,) = asked.film.truth["objects"]
            words = {thing["colour"], thing["shape"], "wooden", "metal", "low", "mellow", "bright"}
            assert not words & set(re.findall(r"\w+", asked.prompt))
            assert asked.prompt.endswith(f"@{tag}")
            other = alike(world, number)
            (shown,) = other.truth["objects"]
            assert (shown["colour"], shown["shape"]) == (thing["colour"], thing["shape"])
            assert other.truth["index"] != asked.film.truth["index"]
            plain = case(TEXT, world, number, tmp_path)
            assert (asked.truth.things, asked.truth.events) == (
                plain.truth.things,
                plain.truth.events,
            )
            assert {thing["colour"], thing["shape"]} <= set(re.findall(r"\w+", plain.prompt))


def test_a_slower_machine_gets_fewer_steps_and_no_more_time(tmp_path):
    """Catches a plan that ends after its minutes, or that spends them on clips."""
    for step_s, clip_s in ((0.5, 1.0), (2.0, 4.0), (0.05, 0.1)):
        found = budget.plan(15, 200, (step_s, clip_s, 20), 32, 9)
        each = (clip_s + budget.READ_S) * (1 + 1 / budget.UNTRAINED) + budget.READ_S
        used = found.steps * step_s + found.clips * 9 * each
        assert 580 < used <= 900 - 200 - 20 - budget.PAGE_S + 1e-6
        assert budget.FEWEST <= found.clips <= 32
    late = budget.plan(2, 300, (1.0, 1.0, 20), 32, 9)
    assert (late.steps, late.clips) == (budget.LEAST_STEPS, budget.FEWEST)
    budget.keep(tmp_path / "plan.json", late)
    assert budget.kept_plan(tmp_path / "plan.json") == late
    assert budget.kept_plan(tmp_path / "none.json") is None
    longer = budget.prolonged(late, 60, 0.5, 32, 9)
    assert longer.steps > 1000
    assert longer == budget.prolonged(longer, 60, 0.5, 32, 9)
    assert budget.prolonged(longer, 2, 0.5, 32, 9).steps == longer.steps, "no step is taken back"
