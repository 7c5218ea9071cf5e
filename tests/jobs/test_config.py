"""The recipe: validated before any work starts."""

import subprocess
from pathlib import Path

import pytest

from jobs.config import (
    MAX_RECIPE_BYTES,
    RecipeError,
    code_version,
    load_recipe,
    make_recipe,
    parse_value,
    read_yaml,
)


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: trial\nout: runs/trial\nseed: 3\n")
    return path


def test_defaults_and_overrides(recipe):
    """An override that is lost, or one that takes a section's other fields with it."""
    plain = load_recipe(recipe)
    other = load_recipe(recipe, {"seed": "4", "train.lr": "1e-4", "world.films": "2"})
    assert (plain.seed, other.seed) == (3, 4)
    assert other.train.lr == 1e-4
    assert other.world.films == 2
    assert other.world.height == plain.world.height
    assert plain.data.ledger.parent == plain.data.path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3", 3),
        ("no", False),
        ("text", "text"),
        ("eel", "eel"),
        ("[a, b]", ["a", "b"]),
    ],
)
def test_values_of_overrides(text, value):
    """1e-4 arriving as text, which YAML 1.1 makes of it."""
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: a\nout: b\nunknown: 1\n", "unknown"),
        ("name: a\nout: b\nseed: -1\n", "seed"),
        ("name: ../x\nout: b\n", "name"),
        ("name: a\nname: b\nout: c\n", "twice"),
        ("name: a\nout: s3://b/c\n", "put a URI into `storage`"),
        ("name: a\nout: b\nstorage: s3://key:secret@b/c\n", "credentials do not belong"),
        ("name: a\nout: b\nstorage: s3://b/c?speed=1\n", "speed is no option"),
        ("name: a\nout: b\nstorage: ftp://b/c\n", "give a folder or one of"),
        ("name: a\nout: &x b\ntracking: *x\n", "aliases"),
        ("name: !!python/object/apply:os.system ['touch canary']\nout: b\n", "not valid YAML"),
        ("- a\n- b\n", "key: value"),
        ("name: [\n", "not valid YAML"),
    ],
)
def test_wrong_recipes_are_refused_by_name(tmp_path, monkeypatch, text, part):
    """A typo that is ignored, an alias bomb that expands, a tag that runs code."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=part):
        load_recipe(path)
    assert not (tmp_path / "canary").exists()


def test_every_wrong_field_is_listed_at_once():
    """One error a run, so that five typos take five runs."""
    with pytest.raises(RecipeError) as error:
        make_recipe({"name": "a", "seed": "x", "other": 1}, "r.yaml")
    text = str(error.value)
    assert all(part in text for part in ("r.yaml", "out", "seed", "other"))


def test_override_through_a_value_names_the_word(recipe):
    """`--seed.x 1` ending in a TypeError."""
    with pytest.raises(RecipeError, match="not a section"):
        load_recipe(recipe, {"seed.x": "1"})


def test_unreadable_and_huge_recipes(tmp_path):
    """A film given where a recipe belongs, read whole into memory."""
    with pytest.raises(RecipeError, match="cannot read"):
        read_yaml(tmp_path / "none.yaml")
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * (MAX_RECIPE_BYTES + 1))
    with pytest.raises(RecipeError, match="is it a recipe"):
        read_yaml(big)


def test_code_version_is_the_commit_unless_told(monkeypatch):
    """A cluster job, which has no .git, recording nothing."""
    monkeypatch.setenv("REELMILL_CODE_VERSION", "abc")
    assert code_version() == "abc"
    monkeypatch.delenv("REELMILL_CODE_VERSION")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert code_version().split("+")[0] == head[:12]


@pytest.mark.parametrize("path", sorted(Path("jobs/recipes").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_that_ships_loads(path):
    """An example with a field that was renamed, or a phase that cannot act."""
    recipe = load_recipe(path)
    for phase in recipe.policy.phases:
        assert recipe.policy.phase(phase).rules
