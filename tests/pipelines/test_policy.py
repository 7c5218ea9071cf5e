"""Verdicts and the funnel."""

import time

import pytest
from pydantic import ValidationError

from pipelines.ledger import Ledger
from pipelines.policy import Policy, Rule, Span, decide, judge

FP = "f" * 12


def clip(name, **scores):
    return {"clip_id": name, "seconds": 3600.0, **scores}


def test_the_first_failing_rule_names_the_verdict():
    """Verdicts without a reason, or with the wrong one."""
    policy = Policy(rules=[Rule(score="motion", min=0.1), Rule(score="bars", max=0.05)])
    rows = judge(
        policy,
        [
            clip("a", motion=0.5, bars=0.0),
            clip("b", motion=0.0, bars=0.5),
            clip("c", motion=0.5, bars=0.5),
        ],
    ).rows
    assert [(r["status"], r["reason"], r["detail"]) for r in rows] == [
        ("ok", None, None),
        ("filtered", "policy:motion", "motion 0 < 0.1"),
        ("filtered", "policy:bars", "bars 0.5 > 0.05"),
    ]


def test_null_never_passes_by_itself():
    """A score that is not available and lets everything through."""
    drop, keep = Rule(score="motion", min=0.1), Rule(score="motion", min=0.1, when_null="keep")
    assert judge(Policy(rules=[drop]), [clip("a")]).rows[0]["detail"] == "motion is not available"
    assert (
        judge(Policy(rules=[drop]), [clip("a", motion=float("nan"))]).rows[0]["status"]
        == "filtered"
    )
    assert judge(Policy(rules=[keep]), [clip("a")]).rows[0]["status"] == "ok"


def test_a_rule_may_speak_of_some_clips_only():
    """An uncertain sync offset that drops a good clip."""
    rule = Rule(score="sync_offset_ms", max=100, when=Span(score="sync_confidence", min=3))
    clips = [clip("a", sync_offset_ms=300, sync_confidence=c) for c in (2.0, 4.0, None)]
    assert [r["status"] for r in judge(Policy(rules=[rule]), clips).rows] == [
        "ok",
        "filtered",
        "ok",
    ]


def test_funnel_counts_what_each_rule_alone_removes():
    """Clips or hours that do not add up from line to line."""
    policy = Policy(rules=[Rule(score="motion", min=0.1), Rule(score="bars", max=0.05)])
    clips = [clip("a", motion=0.5, bars=0.0), clip("b", motion=0.0, bars=0.5),
             clip("c", motion=0.5, bars=0.5), clip("d", motion=0.0, bars=0.0)]  # fmt: skip
    motion, bars = judge(policy, clips).funnel
    assert (motion.failed, motion.removed, motion.alone, motion.left) == (2, 2, 1, 2)
    assert (bars.failed, bars.removed, bars.alone, bars.left, bars.left_hours) == (2, 1, 1, 1, 1.0)


@pytest.mark.parametrize(
    "rule",
    [
        {"score": "beauty", "min": 1},
        {"score": "motion", "when_null": "keep"},
        {"score": "duplicate_of", "min": 1},
        {"score": "motion", "min": 1, "minimum": 2},
        {"score": "motion", "min": 1, "when": {"score": "beauty", "min": 1}},
    ],
)
def test_rules_that_cannot_act_are_refused(rule):
    """A typo in a policy that keeps everything."""
    with pytest.raises(ValidationError):
        Policy(rules=[rule])


def test_two_rules_of_one_name_are_refused():
    """A verdict that could mean either of two rules."""
    with pytest.raises(ValidationError, match="give one a `name`"):
        Policy(rules=[{"score": "motion", "min": 1}, {"score": "motion", "max": 2}])
    Policy(rules=[{"score": "motion", "min": 1}, {"score": "motion", "max": 2, "name": "too fast"}])


def test_decide_takes_seconds_and_writes_once(tmp_path):
    """A decision that costs per clip what a scan costs, or rewrites equal verdicts."""
    ledger = Ledger(tmp_path)
    count = 20_000
    ids = [f"c{i:06d}" for i in range(count)]
    ledger.replace(
        f"scores/scan@{FP}", [{"clip_id": i, "motion": n / count} for n, i in enumerate(ids)]
    )
    ledger.replace(
        "clips", [{"clip_id": i, "start_s": 0.0, "end_s": 2.0, "fingerprint": FP} for i in ids]
    )
    policy = Policy(rules=[Rule(score="motion", min=0.25)])
    start = time.process_time()
    tally = decide(policy, ledger, FP)
    assert time.process_time() - start < 10
    assert (tally.status["ok"], tally.status["filtered"]) == (count * 3 // 4, count // 4)
    part = next((tmp_path / "verdicts").rglob("*.parquet"))
    before = part.stat().st_mtime_ns
    decide(policy, ledger, FP)
    assert part.stat().st_mtime_ns == before
