"""Why a clip was dropped and how near it was: on tables of known scores."""

import numpy as np
import pyarrow as pa
import pytest

from jobs.report.explain import FAILS, NOT_ASKED, PASSES, UNKNOWN, explain, nearness, rule_text
from pipelines.policy import Check, Policy, Rule

MOTION = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
SPREAD = np.std(np.clip(MOTION, *np.percentile(MOTION, [1, 99])))


def table(**columns) -> pa.Table:
    count = len(next(iter(columns.values())))
    ids = [f"{k:016x}-0-1000" for k in range(count)]
    return pa.table({"clip_id": ids, "seconds": [1.0] * count} | columns)


def test_both_sides_of_a_threshold_are_near():
    """Borderline clips of one side only, or a distance that is not in spreads of the score."""
    near = nearness(Policy(rules=[Rule(score="motion", min=0.55)]), table(motion=MOTION))
    assert near.distance == pytest.approx(np.abs(np.array(MOTION) - 0.55) / SPREAD)
    assert near.fails.tolist() == [1, 1, 1, 0, 0, 0]


def test_two_failures_are_not_near():
    """A clip called nearly kept that a second rule drops whatever the first says."""
    policy = Policy(rules=[Rule(score="motion", min=0.55), Rule(score="bars", max=0.5)])
    near = nearness(policy, table(motion=MOTION, bars=[0.1, 0.2, 0.9, 0.3, 0.8, 0.0]))
    assert near.distance[2] == np.inf  # fails both
    assert near.rule[4] == 1  # only the bars
    assert near.rule[3] == 0  # kept, and the motion is what it nearly fails


def test_a_usual_value_is_not_near():
    """Every silent film called borderline because the limit lies just beside zero."""
    values = [0.0] * 8 + [0.04, 0.2]
    near = nearness(
        Policy(rules=[Rule(score="clipped_share", max=0.01)]), table(clipped_share=values)
    )
    assert np.isinf(near.distance[:8]).all()
    assert np.isfinite(near.distance[8:]).all()


def test_groups_turn_as_a_whole():
    """`any` said to be near because one of two ways to pass is."""
    rule = Rule(
        name="belongs",
        any=(Check(score="motion", min=0.5), Check(score="bars", max=0.5)),
    )
    bars = [0.45, 0.1, 0.9, 0.2, 0.6, 0.0]
    near = nearness(Policy(rules=[rule]), table(motion=MOTION, bars=bars))
    width = np.std(np.clip(bars, *np.percentile(bars, [1, 99])))
    assert near.distance[2] == pytest.approx(0.1 / SPREAD)  # fails both; motion is the nearer way
    assert near.distance[3] == pytest.approx(max(0.1 / SPREAD, 0.3 / width))  # passes by both
    assert near.distance[4] == pytest.approx(0.3 / SPREAD)  # by motion alone


def test_every_rule_is_said_of_a_clip():
    """A clip whose card leaves out the rule that dropped it, or calls null a pass."""
    rules = [
        Rule(score="motion", min=0.5),
        Rule(score="bars", max=0.5, when_null="keep"),
        Rule(name="only speech", score="snr_db", min=20,
             when=Check(score="sound_class", one_of=("speech",))),
    ]  # fmt: skip
    clips = table(
        motion=MOTION,
        bars=[None, 0.9, 0.1, 0.1, 0.1, 0.1],
        snr_db=[1.0] * 6,
        sound_class=["music", "speech"] * 3,
    )
    first, second = explain(Policy(rules=rules), clips, np.array([0, 1]))
    assert {line.rule: line.state for line in first} == {
        "motion": FAILS,
        "bars": UNKNOWN,
        "only speech": NOT_ASKED,
    }
    assert [line.state for line in second] == [FAILS, FAILS, FAILS]
    assert second[0].value == "motion 0.2 < 0.5"  # the nearest failure first
    third = explain(Policy(rules=rules), clips, np.array([4]))[0]
    assert {line.rule for line in third if line.state == PASSES} == {"motion", "bars"}


def test_rules_in_words():
    """A rule that reads as another one."""
    rule = Rule(
        name="x",
        any=(
            Check(score="motion", min=0.5),
            Check(all=(Check(score="bars", max=0.5), Check(score="licence", none_of=("a", "b")))),
        ),
        when=Check(score="sound_class", one_of=("speech", "music")),
    )
    said = (
        "motion ≥ 0.5 or (bars ≤ 0.5 and licence is not a or b) when sound_class is speech or music"
    )
    assert rule_text(rule) == said
    assert rule_text(Rule(score="sync_offset_ms", min=-150, max=150)) == "sync_offset_ms -150 … 150"
    assert rule_text(Rule(score="duplicate_of", present=False)) == "duplicate_of is absent"
