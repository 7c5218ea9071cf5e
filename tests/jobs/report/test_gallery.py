"""The sample of clips: fair, small, and the same each time."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from jobs.report.explain import nearness
from jobs.report.gallery import KEPT, MOST_DROPPED, PER_REASON, groups, turns
from pipelines.dead_letters import DeadLetter
from pipelines.policy import Policy
from pipelines.policy_diff import classes
from pipelines.verdicts import judge

POLICY = Policy(
    rules=[{"score": "motion", "min": 0.3}, {"score": "bars", "max": 0.8},
           {"score": "noise", "max": 0.98}],
    leak_guard=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def facts():
    rng = np.random.default_rng(0)
    ids = [f"{k:016x}-0-1000" for k in range(400)]
    kinds = np.where(np.arange(400) < 390, "music", "speech")
    clips = pa.table(
        {"clip_id": ids, "seconds": np.full(400, 2.0), "sound_class": kinds}
        | {name: rng.random(400) for name in ("motion", "bars", "noise")}
    )
    decision = judge(POLICY, clips)
    failed = DeadLetter("judge", "text", ids[3], "", "timeout", 2, "")
    return SimpleNamespace(
        clips=clips, decision=decision, kept=decision.kept, classes=classes(clips), letters=[failed]
    )


def test_groups_are_what_they_say(facts):
    """A kept clip among the dropped, a clip shown twice, a reason without an example."""
    found = {group.title: group for group in groups(facts, nearness(POLICY, facts.clips))}
    reasons = facts.decision.verdicts["reason"].to_pylist()
    for title in ("motion", "bars", "noise"):
        mine = [place for place, reason in enumerate(reasons) if reason == f"policy:{title}"]
        assert found[title].total == len(mine)
        assert set(found[title].places) <= set(mine)
        shown = len(found[title].places)
        assert shown + found[title].above >= min(PER_REASON, len(mine))
        assert shown == min(PER_REASON, len(mine) - found[title].above)
    assert facts.kept[found["Kept"].places].all()
    assert facts.kept[found["Nearly dropped"].places].all()
    assert not facts.kept[found["Nearly kept"].places].any()
    assert found["Failed"].places == [3]
    places = [place for group in found.values() for place in group.places]
    assert len(places) == len(set(places))


def test_a_rare_class_is_shown(facts):
    """Ten clips of speech among four hundred that never come up."""
    found = {group.title: group for group in groups(facts, nearness(POLICY, facts.clips))}
    labels = facts.classes[found["Kept"].places]
    assert len(labels) == KEPT
    assert (labels == "speech").sum() >= min(KEPT // 2, int((facts.kept[390:]).sum())) - 2


def test_borderline_is_nearest(facts):
    """Clips called nearly kept or dropped while others of their rule lie nearer."""
    near = nearness(POLICY, facts.clips)
    found = {group.title: group for group in groups(facts, near)}
    for title, inside in (("Nearly dropped", facts.kept), ("Nearly kept", ~facts.kept)):
        for rule in range(3):
            mine = np.flatnonzero(inside & (near.rule == rule) & np.isfinite(near.distance))
            mine = mine[mine != 3]  # shown as failed
            shown = [place for place in found[title].places if near.rule[place] == rule]
            assert set(shown) == set(mine[np.argsort(near.distance[mine])][: len(shown)].tolist())


def test_a_hundred_reasons_stay_few_cards():
    """A policy with many rules that fills the page with cards."""
    names = [f"rule{k}" for k in range(100)]
    clips = pa.table(
        {"clip_id": [f"{k:016x}-0-1000" for k in range(500)], "seconds": np.full(500, 1.0),
         "motion": np.repeat(np.arange(100.0), 5), "has_sound": np.ones(500)}
    )  # fmt: skip
    rules = [
        {
            "name": name,
            "any": [{"score": "motion", "max": k - 0.5}, {"score": "motion", "min": k + 0.5}],
        }
        for k, name in enumerate(names)
    ]
    policy = Policy(rules=rules, leak_guard=False)
    decision = judge(policy, clips)
    facts = SimpleNamespace(
        clips=clips, decision=decision, kept=decision.kept, classes=classes(clips), letters=[]
    )
    found = groups(facts, nearness(policy, clips))
    dropped = [group for group in found if group.key.startswith("r")]
    assert len(dropped) == 100
    assert sum(len(group.places) for group in dropped) <= MOST_DROPPED


def test_kinds_take_turns():
    """A kind that comes first by lot taking all places."""
    assert turns([1, 3, 5, 2, 7], lambda k: k % 2) == [1, 2, 3, 5, 7]
