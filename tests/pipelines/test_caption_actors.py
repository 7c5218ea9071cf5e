"""Captions by a model in Ray actors: a tiny Qwen2.5-VL of random weights, saved and loaded."""

import pytest

from curation.captions.config import LLMConfig
from curation.captions.server import ServerError
from pipelines.caption import caption
from pipelines.caption_ask import Keeper
from pipelines.caption_config import CaptionConfig
from tests.caption_films import FP, fresh, write_films
from tests.tiny_vlm import save_tiny_vlm


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"), films=2, parts=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_vlm(tmp_path_factory.mktemp("vlm"))


def config_of(model, **more):
    llm = {"backend": "transformers", "model": str(model), "sound": False, "frames": 2,
           "short_side": 56, "max_tokens": 64, "workers": 1} | more  # fmt: skip
    return CaptionConfig(prefer=("llm", "evidence"), llm=LLMConfig(**llm))


@pytest.mark.slow
def test_every_clip_is_answered_once(films, model, local_ray, tmp_path, monkeypatch):
    """Clips lost on the way to an actor, babble as a caption, or a rerun that asks again."""
    ledger, truth = fresh(tmp_path, films, parts=3)
    config = config_of(model)
    tally = caption(config, ledger, FP)
    answers = {r["clip_id"]: r for r in ledger.rows(f"scores/answers@{config.llm.fingerprint()}")}
    captions = {r["clip_id"]: r for r in ledger.rows(f"scores/caption@{config.fingerprint()}")}
    assert set(answers) == set(captions) == set(truth)
    assert {a["status"] for a in answers.values()} <= {"truncated", "failed"}
    assert {a["teller"] for a in answers.values()} == {f"transformers:{model.name}"}
    assert {c["provenance"] for c in captions.values()} == {"evidence"}
    assert tally.total == len(truth)
    monkeypatch.setattr(Keeper, "__call__", lambda *_: pytest.fail("it asked again"))
    assert caption(config, ledger, FP).status == tally.status


@pytest.mark.slow
def test_a_model_that_cannot_load_ends_the_pass(films, model, local_ray, tmp_path):
    """Actors that are started again for ever, or a trace of a worker."""
    ledger, _ = fresh(tmp_path, films, parts=3)
    with pytest.raises(ServerError, match=r"caption\.llm\.sound"):
        caption(config_of(model, sound=True), ledger, FP)
