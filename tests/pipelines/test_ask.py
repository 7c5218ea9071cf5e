"""Yes/no questions to a real HTTP server that looks and listens, and rules on its answers."""

import pytest

from pipelines.ask import ask
from pipelines.ask_config import AskConfig
from pipelines.policy import Policy, Rule
from pipelines.verdicts import decide
from tests.caption_films import FP, fresh, write_films
from tests.caption_server import CaptionServer

QUESTIONS = {"red": "Is it red?", "loud": "More than three clicks?", "rain": "Is the weather bad?"}
EVERY = Policy(rules=[])


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def scene(films, tmp_path):
    return fresh(tmp_path, films)


def config_of(server, questions=QUESTIONS, **more):
    llm = {"model": "tiny-omni", "url": server.url, "frames": 2, "short_side": 48, "timeout_s": 2,
           "workers": 2, "tries": 2} | more  # fmt: skip
    return AskConfig(questions=questions, **llm)


def columns(ledger, config):
    return {row["clip_id"]: row for row in ledger.rows(config.table())}


def test_every_clip_gets_its_own_answers_whatever_the_order(scene):
    """A yes on another clip, and "cannot tell" that becomes a no."""
    ledger, truth = scene
    clips = sorted(truth)
    modes = {clips[0]: ["another_clip"], clips[1]: ["no_id"], clips[2]: ["busy"]}
    with CaptionServer(modes, slow_s=0.3) as server:
        config = config_of(server, concurrency=18)
        tally = ask(config, ledger, FP, [EVERY])
        asked = len(server.requests)
        again = ask(config, ledger, FP, [EVERY])
        assert len(server.requests) == asked, "an answer was asked for twice"
    assert tally.status == again.status == {"ok": len(truth)}
    rows = columns(ledger, config)
    assert set(rows) == set(truth)
    for clip, (colour, clicks) in truth.items():
        said = [rows[clip][f"ask_{name}"] for name in ("red", "loud", "rain")]
        assert said == [colour == "red", clicks > 3, None]
    assert {row["ask_red"] for row in rows.values()} == {True, False}


def test_only_clips_that_other_rules_keep_are_asked_about(scene):
    """A bill for clips that are dropped anyway, clips that no row accounts for, and verdicts that
    would be others had all been asked."""
    ledger, truth = scene
    ids = sorted(truth)
    scores = [{"clip_id": c, "motion": n / len(ids)} for n, c in enumerate(ids)]
    ledger.append(f"scores/scan@{FP}", scores)
    moves, quiet = Rule(score="motion", min=0.5), Rule(score="ask_loud", max=0)
    high = Policy(rules=[Rule(score="motion", min=0.4)])
    with CaptionServer() as server:
        config = config_of(server)
        tally = ask(config, ledger, FP, [Policy(rules=[quiet, moves]), high])
        assert sorted(server.order) == [s["clip_id"] for s in scores if s["motion"] >= 0.4]
        assert (tally.total, tally.status["ok"]) == (len(ids), len(server.order))
        assert tally.status["filtered"] == len(ids) - len(server.order)
        some = decide(Policy(rules=[moves, quiet]), ledger, FP, (config.table(),))
        ask(config, ledger, FP, [EVERY])
        assert sorted(server.order) == ids
        # What another policy asked about stays answered.
        ask(config, ledger, FP, [Policy(rules=[Rule(score="motion", min=2)])])
    assert all(row["ask_red"] is not None for row in columns(ledger, config).values())
    every = decide(Policy(rules=[moves, quiet]), ledger, FP, (config.table(),))
    assert some.status == every.status
    wanted = [s for s in scores if s["motion"] >= 0.5 and truth[s["clip_id"]][1] <= 3]
    assert every.status["ok"] == len(wanted) > 0


def test_no_answer_is_null_and_never_a_pass(scene):
    """A refused or cut answer that a rule takes for no."""
    ledger, truth = scene
    modes = {clip: ["refusal"] for clip in sorted(truth)[:3]}
    modes[sorted(truth)[3]] = ["malformed"] * 2
    with CaptionServer(modes) as server:
        config = config_of(server)
        tally = ask(config, ledger, FP, [EVERY])
    assert (tally.status["failed"], tally.reasons["bad_caption"]) == (4, 4)
    rows = columns(ledger, config)
    for clip in sorted(truth)[:4]:
        assert (rows[clip]["status"], rows[clip]["ask_red"]) == ("failed", None)
    policy = Policy(rules=[Rule(score="ask_red", max=0)])
    kept = decide(policy, ledger, FP, (config.table(),)).status["ok"]
    assert kept == sum(c not in modes and colour != "red" for c, (colour, _) in truth.items())


def test_questions_and_model_name_the_table(scene):
    """Answers to yesterday's question under today's, or asked anew because of their order."""
    with CaptionServer() as server:
        first = config_of(server)
        turned = config_of(server, dict(reversed(QUESTIONS.items())))
        assert first.table() == turned.table()
        others = [
            config_of(server, QUESTIONS | {"red": "Is there any red?"}),
            config_of(server, {"red": QUESTIONS["red"]}),
            config_of(server, model="other"),
        ]
    assert len({config.table() for config in (first, *others)}) == 4
