"""What goes to Ray Data's LLM stages and what is taken back. No engine: that needs a GPU."""

import json

import pytest

from curation.captions.answer import Desk
from curation.captions.config import LLMConfig
from curation.captions.request import Request, Seen, messages, schema
from curation.captions.server import ServerError
from curation.records import Reason, RejectedError
from pipelines.caption_vllm import (
    chat_row,
    check_engine,
    engine_config,
    from_engine,
    settle,
    to_engine,
)
from tests.curation.test_captions_answer import ONE, TWO
from tests.curation.test_captions_answer import told as answer

CONFIG = LLMConfig(backend="vllm", model="some/folder", frames=4, max_tokens=500)


def asked(identity=ONE):
    chat = messages(Request(*identity, Seen((b"jpeg",), (0.5,), b"wav", 1.0), {"transcript": "hi"}))
    return chat_row({"clip_id": identity[0], "asked": "e"}, identity[1], chat)


def answered(row, **engine):
    out = {"generated_text": "", "num_generated_tokens": 99, "__inference_error__": ""} | engine
    return settle(from_engine(to_engine(row, CONFIG) | out), CONFIG, Desk())


def test_ray_knows_the_engines_settings():
    """An argument that this version of Ray does not have, found on the day there is a GPU."""
    engine = engine_config(CONFIG, gpus=3)
    assert (engine.model_source, engine.concurrency) == ("some/folder", 3)
    assert engine.engine_kwargs["limit_mm_per_prompt"] == {"image": 4, "audio": 1}
    assert engine.should_continue_on_error


def test_the_chat_arrives_as_it_was_written():
    """Pictures, identity or schema that are lost on the way to the engine."""
    row = to_engine(asked(), CONFIG)
    parts = row["messages"][1]["content"]
    assert [p["type"] for p in parts] == ["text", "image_url", "input_audio", "text"]
    assert ONE[0] in parts[0]["text"]
    assert json.loads(row["sampling_params"]["structured_outputs"]["json"]) == schema()
    assert row["sampling_params"]["max_tokens"] == 500


def test_an_answer_lands_on_its_own_clip():
    """Rows that the engine gives back under another row's identity."""
    good = answered(asked(), generated_text=answer(ONE))
    assert (good["status"], good["clip_id"], good["teller"]) == ("ok", ONE[0], "vllm:folder")
    crossed = answered(asked(), generated_text=answer(TWO))
    assert crossed["status"] == "failed"
    assert "mismatched" in crossed["detail"]


def test_ends_have_names():
    """A cut answer, an engine's error or an unreadable film that is lost or called otherwise."""
    cut = answered(asked(), generated_text=answer()[:99], num_generated_tokens=500)
    assert cut["status"] == "truncated"
    dead = answered(asked(), __inference_error__="EngineDead: gone")
    assert (dead["status"], dead["reason"]) == ("failed", "captioner")
    clip = {"clip_id": ONE[0], "asked": "e"}
    row = chat_row(clip, error=RejectedError(Reason.CORRUPT, "cut"))
    assert to_engine(row, CONFIG)["sampling_params"]["max_tokens"] == 1
    refused = answered(row, generated_text="whatever")
    assert (refused["status"], refused["reason"], refused["detail"]) == ("failed", "corrupt", "cut")


def test_without_vllm_the_way_out_is_named(monkeypatch):
    """An ImportError from the middle of a library."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ServerError, match="backend server"):
        check_engine(CONFIG)
