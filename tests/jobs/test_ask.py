"""The verb, and recipes whose rules ask for answers."""

import pytest

from jobs import ask
from jobs.cli import DONE, FAILED, WRONG_REQUEST
from jobs.config import RecipeError, make_recipe
from pipelines.ledger import Ledger
from tests.caption_films import scanned, write_films
from tests.caption_server import CaptionServer


def recipe_of(folder, rules=(), **settings):
    values = {"name": "x", "out": str(folder), "policy": {"rules": list(rules)}}
    return make_recipe(values | {"ask": {"frames": 1, "short_side": 48} | settings}, "a test")


def test_what_is_missing_is_said(tmp_path):
    """A rule on a question that nobody puts, a model without questions, or the reverse."""
    rule = {"score": "ask_read", "max": 0}
    with pytest.raises(RecipeError, match=r"ask_read is the answer to no question.*: red"):
        recipe_of(tmp_path, [rule], questions={"red": "Is it red?"})
    within = {"name": "x", "any": [{"score": "motion", "min": 1}], "when": rule}
    with pytest.raises(RecipeError, match="ask_read is the answer to no question"):
        recipe_of(tmp_path, [within])
    with pytest.raises(RecipeError, match="there are no questions"):
        recipe_of(tmp_path, model="m")
    with pytest.raises(RecipeError, match=r"ask\.model is empty"):
        ask.run(recipe_of(tmp_path, questions={"red": "Is it red?"}), [])
    assert ask.run(recipe_of(tmp_path), []) == DONE


def test_the_verb_asks_and_a_rule_can_use_it(tmp_path):
    """Answers in a table that `decide` does not read."""
    films = write_films(tmp_path, films=1, parts=3)
    with CaptionServer() as server:
        settings = {"questions": {"red": "Is it red?"}, "model": "m", "error_budget": 1}
        rule = {"score": "ask_red", "min": 1}
        recipe = recipe_of(tmp_path / "out", [rule], url=server.url, **settings)
        assert ask.run(recipe, []) == WRONG_REQUEST
        scanned(Ledger(recipe.data.ledger), films, 3, recipe.scan.fingerprint())
        down = recipe_of(tmp_path / "out", [rule], url="http://127.0.0.1:9/v1", **settings)
        assert ask.run(down, []) == FAILED
        assert ask.run(recipe, []) == DONE
    assert recipe.ask.table() in recipe.score_tables
    rows = Ledger(recipe.data.ledger).rows(recipe.ask.table())
    assert sorted(row["ask_red"] for row in rows) == [False, False, True]
