"""The verb: a model that is not there is told in words, and its captions reach the encode plan."""

import pytest

from jobs import caption, curate
from jobs.cli import DONE, FAILED, WRONG_REQUEST
from jobs.config import RecipeError, make_recipe
from jobs.encode import inputs
from pipelines.encode_plan import kept_clips
from pipelines.ledger import Ledger
from tests.caption_films import scanned, write_films
from tests.caption_server import CaptionServer


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"), films=1, parts=3)


def recipe_of(folder, **llm):
    settings = {"prefer": ["llm", "evidence"], "llm": {"frames": 1, "short_side": 48} | llm}
    return make_recipe({"name": "x", "out": str(folder), "caption": settings}, "a test")


def keep(ledger, recipe, clips, dropped=()):
    rows = [{"clip_id": c, "status": "filtered" if c in dropped else "ok"} for c in clips]
    ledger.append(f"verdicts/{inputs(recipe).verdicts}", rows)


def test_what_is_missing_is_a_wrong_request(tmp_path):
    """A trace for a recipe that names no model, and evidence where a model was wanted."""
    with pytest.raises(RecipeError, match=r"caption\.llm\.model is empty"):
        caption.run(recipe_of(tmp_path), [])
    with pytest.raises(RecipeError, match=r"caption\.llm\.url is empty"):
        caption.run(recipe_of(tmp_path, model="m"), [])
    with pytest.raises(RecipeError, match="no folder with a model"):
        caption.run(recipe_of(tmp_path, model="m", backend="transformers"), [])
    with pytest.raises(RecipeError, match="prefer does not name it"):
        make_recipe({"name": "x", "out": "x", "caption": {"llm": {"model": "m"}}}, "a test")


def test_a_server_that_is_down_fails_the_verb_and_the_next_run_goes_on(films, tmp_path, capsys):
    """A chain that goes on to encode evidence, or captions that encode does not find."""
    with CaptionServer() as server:
        up = recipe_of(tmp_path, model="m", url=server.url)
        ledger = Ledger(up.data.ledger)
        truth = scanned(ledger, films, parts=3, fingerprint=up.scan.fingerprint())
        keep(ledger, up, truth)
        down = recipe_of(tmp_path, model="m", url="http://127.0.0.1:9/v1", error_budget=1)
        assert caption.run(down, []) == FAILED
        assert "run it again to go on" in capsys.readouterr().err
        assert caption.run(up, []) == DONE
    tables = inputs(up)
    for clip in kept_clips(ledger, tables):
        colour, clicks = truth[clip["clip_id"]]
        assert clip["captions"]["short"] == f"a {colour} picture stays as it is; {clicks} clicks"
        assert clip["captions"]["structured"].startswith(f"<text>A {colour} picture")
        assert f"{clicks} clicks" in clip["captions"]["long"]
    assert len(kept_clips(ledger, tables)) == len(truth)


def test_a_model_is_not_asked_about_clips_that_the_policy_drops(films, tmp_path, capsys):
    """A bill for clips that nobody trains on, and a bill before anything was decided."""
    with CaptionServer() as server:
        recipe = recipe_of(tmp_path, model="m", url=server.url)
        ledger = Ledger(recipe.data.ledger)
        truth = sorted(scanned(ledger, films, parts=3, fingerprint=recipe.scan.fingerprint()))
        assert caption.run(recipe, []) == WRONG_REQUEST
        assert "run `reelmill decide`" in capsys.readouterr().err
        assert server.requests == []
        keep(ledger, recipe, truth, dropped=truth[1:])
        assert caption.run(recipe, []) == DONE
        assert server.order == truth[:1]
        assert "3 clips = 1 ok + 2 filtered" in capsys.readouterr().err
        keep(ledger, recipe, truth, dropped=truth[:2])
        assert caption.run(recipe, []) == DONE
        assert server.order == [truth[0], truth[2]]
    answers = ledger.rows(f"scores/answers@{recipe.caption.llm.fingerprint()}")
    assert {row["clip_id"] for row in answers} == {truth[0], truth[2]}


def test_the_chain_captions_what_it_decided(monkeypatch):
    """The verbs in an order in which a model is paid for every clip, or encode finds no words."""
    order = []
    for step in (curate.scan, curate.judge, curate.caption, curate.decide, curate.encode):
        monkeypatch.setattr(step, "run", lambda *_, name=step.__name__: order.append(name) or DONE)
    recipe = make_recipe({"name": "x", "out": "x"}, "a test")
    assert curate.run(recipe, []) == DONE
    assert order == [f"jobs.{name}" for name in ("scan", "judge", "decide", "caption", "encode")]
