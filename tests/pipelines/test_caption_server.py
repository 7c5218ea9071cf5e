"""Captions from a real HTTP server that looks and listens, and does all that servers do wrong."""

import json
import re

import pyarrow as pa
import pytest

from curation.captions.config import LLMConfig
from curation.captions.server import ServerError
from pipelines.caption import caption
from pipelines.caption_config import CaptionConfig
from pipelines.ledger import SCHEMAS
from tests.caption_films import FP, fresh, write_films
from tests.caption_server import CaptionServer


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def scene(films, tmp_path):
    return fresh(tmp_path, films)


def config_of(server, prefer=("llm",), **more):
    llm = {"model": "tiny-omni", "url": server.url, "frames": 2, "short_side": 48, "timeout_s": 2,
           "workers": 2} | more  # fmt: skip
    return CaptionConfig(prefer=prefer, llm=LLMConfig(**llm))


def run(server, ledger, replay=(), **more):
    config = config_of(server, **more)
    tally = caption(config, ledger, FP, replay=replay)
    captions = {r["clip_id"]: r for r in ledger.rows(f"scores/caption@{config.fingerprint()}")}
    answers = {r["clip_id"]: r for r in ledger.rows(f"scores/answers@{config.llm.fingerprint()}")}
    return tally, captions, answers


def describes(row, truth):
    colour, clicks = truth
    told = json.loads(row["record"])
    return told["subject"] == f"a {colour} picture" and told["effects"] == [f"{clicks} clicks"]


def wrong(captions, truth):
    """Clips whose caption is not theirs. A missing one is not wrong."""
    return {c: r["record"] for c, r in captions.items() if not describes(r, truth[c])}


def test_every_clip_gets_its_own_caption_whatever_the_order(scene):
    """A caption on another clip: frames, sound or answers that were crossed on the way."""
    ledger, truth = scene
    with CaptionServer(slow_s=0.3) as server:
        tally, captions, answers = run(server, ledger, concurrency=18)
    asked = [r["messages"][1]["content"][0]["text"].split("\n")[0][9:] for r in server.requests]
    assert server.order != asked, "nothing was shuffled, so nothing was tested"
    assert set(captions) == set(answers) == set(truth)
    assert wrong(captions, truth) == {}
    assert tally.status["ok"] == tally.total == len(truth)
    row = captions[min(truth)]
    colour, clicks = truth[min(truth)]
    assert row["short"] == f"a {colour} picture stays as it is; {clicks} clicks"
    assert f"<sfx>{clicks} clicks.</sfx>" in row["structured"].lower()
    assert (row["provenance"], row["status"]) == ("llm", "ok")
    assert json.loads(row["sources"])["subject"] == "server:tiny-omni"


ONCE = {  # what the first request of a clip meets -> the word that the pass counts it under
    "another_clip": "mismatched|duplicate", "no_id": "malformed", "two_choices": "duplicate",
    "two_objects": "duplicate", "silent": "timeout", "cut": "connection", "drop": "connection",
    "busy": "http 429", "broken": "http 500", "no_chat": "malformed", "malformed": "malformed",
    "flood": "too long", "two_responses": None, "prose": None,
}  # fmt: skip


def test_a_server_that_errs_once_is_asked_again(scene, capsys):
    """A clip that is lost, or worse captioned with another's words, after one bad answer."""
    ledger, truth = scene
    modes = dict(zip(sorted(truth), ([mode] for mode in ONCE), strict=False))
    assert len(modes) == len(ONCE), "more modes than clips"
    with CaptionServer(modes, slow_s=0.02) as server:
        tally, captions, _ = run(server, ledger, concurrency=4)
    assert set(captions) == set(truth)
    assert wrong(captions, truth) == {}
    assert tally.status["ok"] == len(truth)
    said = capsys.readouterr().err
    for mode, word in ONCE.items():
        assert server.did[mode] == 1
        # An answer about another clip is a duplicate where that clip was answered before.
        found = word is None or re.search(rf" ({word})", said)
        assert found, f"{mode} was not counted as {word}: {said}"


@pytest.mark.parametrize("mode", ["another_clip", "late", "two_choices"])
def test_a_server_that_always_errs_captions_nothing(scene, mode):
    """An answer about another clip that is taken because no better one comes."""
    ledger, truth = scene
    modes = {clip: ["silent"] for clip in sorted(truth)[:6]} if mode == "late" else {}
    with CaptionServer(modes, default=mode) as server:
        tally, captions, answers = run(server, ledger, concurrency=6, tries=2, timeout_s=2.0)
    if mode == "late":  # for the others `late` gives their own open nonce back, which is right
        late = {c: a for c, a in answers.items() if c in modes}
        assert {a["status"] for a in late.values()} == {"failed"}
        assert all("late" in a["detail"] for a in late.values())
        assert wrong(captions, truth) == {}
        return
    assert captions == {}
    assert tally.status["failed"] == len(truth)
    assert {a["status"] for a in answers.values()} == {"failed"}


def test_a_replay_asks_again_only_where_the_reason_is(scene):
    """Answers that a better day at the server cannot change, or a replay that pays for all."""
    ledger, truth = scene
    poor = sorted(truth)[:2]
    with CaptionServer({clip: ["truncated"] for clip in poor}) as server:
        _, _, first = run(server, ledger)
        asked = len(server.requests)
        run(server, ledger, replay=["timeout"])
        assert len(server.requests) == asked
        _, captions, answers = run(server, ledger, replay=["bad_caption"])
        assert len(server.requests) == asked + len(poor)
    assert [first[clip]["attempts"] for clip in poor] == [1, 1]
    assert {row["attempts"] for row in answers.values()} == {None}
    assert wrong(captions, truth) == {}
    assert len(captions) == len(truth)


def test_ends_of_answers_have_names(scene):
    """A cut or refused answer that passes for a caption, or that is asked for for ever."""
    ledger, truth = scene
    clips = sorted(truth)
    modes = {clips[0]: ["truncated"], clips[1]: ["refusal"], clips[2]: ["sorry"]}
    with CaptionServer(modes) as server:
        tally, captions, answers = run(server, ledger, prefer=("llm", "evidence"))
        asked = len(server.requests)
        again, _, _ = run(server, ledger, prefer=("llm", "evidence"))
        assert len(server.requests) == asked == len(truth), "a final answer was asked for again"
    assert [answers[c]["status"] for c in clips[:4]] == ["truncated", "refused", "refused", "ok"]
    assert [captions[c]["provenance"] for c in clips[:4]] == ["evidence"] * 3 + ["llm"]
    assert captions[clips[0]]["status"] == "truncated"
    assert tally.status == again.status
    assert tally.reasons["model: refused"] == 2


def test_a_dead_server_ends_the_pass_and_loses_nothing(scene):
    """Evidence in place of every caption because nobody noticed that the server was down."""
    ledger, truth = scene
    clips = sorted(truth)
    modes = {clip: ["broken"] * 9 for clip in clips[9:]}
    with CaptionServer(modes) as server:
        with pytest.raises(ServerError, match="error_budget"):
            run(server, ledger, error_budget=5, tries=9, concurrency=2, prefer=("llm", "evidence"))
        config = config_of(server, prefer=("llm", "evidence"))
        done = ledger.rows(f"scores/answers@{config.llm.fingerprint()}")
        assert ledger.rows(f"scores/caption@{config.fingerprint()}") == []
        assert 0 < len(done) < len(truth)
        server.modes.clear()
        asked = len(server.requests)
        tally, captions, _ = run(server, ledger, prefer=("llm", "evidence"))
        assert len(server.requests) - asked == len(truth) - len(done)
    assert wrong(captions, truth) == {}
    assert tally.status["ok"] == len(truth)


def test_a_server_without_json_schema_is_asked_without(scene):
    """A server that knows no response_format and gets it with every request."""
    ledger, truth = scene
    with CaptionServer(default="prose", knows_schema=False) as server:
        _, captions, _ = run(server, ledger)
    assert wrong(captions, truth) == {}
    assert len(captions) == len(truth)


def test_the_key_comes_from_the_environment_and_stays_there(scene, monkeypatch, capsys):
    """A key in the ledger, in a log line, in the fingerprint, or at a server that has none."""
    ledger, truth = scene
    secret = "sk-canary-5417"
    with CaptionServer(key=secret) as server:
        with pytest.raises(ServerError, match="CANARY_KEY holds no key"):
            run(server, ledger, key_env="CANARY_KEY")
        monkeypatch.setenv("CANARY_KEY", "sk-wrong")
        with pytest.raises(ServerError, match="says 401"):
            run(server, ledger, key_env="CANARY_KEY")
        monkeypatch.setenv("CANARY_KEY", secret)
        _, captions, _ = run(server, ledger, key_env="CANARY_KEY")
    assert len(captions) == len(truth)
    assert secret not in capsys.readouterr().err
    assert not [
        p for p in ledger.folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()
    ]
    with pytest.raises(ValueError, match="key_env"):
        LLMConfig(url="http://user:sk-canary-5417@host/v1")


def test_speech_is_the_transcripts(scene, monkeypatch):
    """Words that a model made up in the mouth of a speaker."""
    ledger, truth = scene
    first, second, third, *_ = sorted(truth)
    columns = ("clip_id", "transcript", "text", "word_times")
    schema = pa.schema([(name, pa.string()) for name in columns])
    monkeypatch.setitem(SCHEMAS, "scores/heard", schema)
    with CaptionServer() as server:
        config = config_of(server)
        caption(config, ledger, FP, ("scores/heard",))
        asked = len(server.requests)
        ledger.append("scores/heard", [
            {"clip_id": first, "transcript": "Good morning, see www.example.com <b>"},
            {"clip_id": second, "transcript": ""},
            {"clip_id": third, "text": "EXIT | NO ENTRY"},
        ])  # fmt: skip
        caption(config, ledger, FP, ("scores/heard",))
    assert len(server.requests) == asked + 3, "new evidence asks again, and only there"
    found = {r["clip_id"]: r for r in ledger.rows(f"scores/caption@{config.fingerprint()}")}
    said = '<dialogue>A man says, calmly: "Good morning, see (address)".</dialogue>'
    assert said in found[first]["structured"]
    assert json.loads(found[first]["sources"])["speech"] == "asr"
    assert "<dialogue></dialogue>" in found[second]["structured"]
    assert 'On-screen text reads "EXIT" and "NO ENTRY".' in found[third]["long"]
    assert json.loads(found[third]["sources"])["on_screen_text"] == "ocr"


def test_a_changed_film_is_not_captioned(scene, tmp_path):
    """Words about a film that took the place of the one that was scanned."""
    ledger, truth = scene
    row = ledger.rows("sources")[0]
    path = tmp_path / "other.mp4"
    path.write_bytes(b"\0" * 100)
    clips = [
        c | {"path": str(path)} for c in ledger.clips(FP).to_pylist() if c["path"] == row["path"]
    ]
    ledger.append("clips", clips)
    ledger.append("sources", [row | {"path": str(path)}])
    with CaptionServer() as server:
        tally, captions, answers = run(server, ledger)
    gone = {c["clip_id"] for c in clips}
    assert {answers[c]["reason"] for c in gone} == {"unreadable"}
    assert set(captions) == set(truth) - gone
    assert tally.status["failed"] == len(gone)


@pytest.mark.slow
def test_many_requests_are_under_way_and_no_more_than_allowed(scene):
    """A pass that waits for one answer after another, or storms the server."""
    ledger, _ = scene
    with CaptionServer(slow_s=0.8) as server:
        run(server, ledger, concurrency=6)
    assert 3 <= server.most <= 6
