"""What a policy may say."""

import pytest
from pydantic import ValidationError

from pipelines.policy import Balance, Policy


@pytest.mark.parametrize(
    "rule",
    [
        {"score": "beauty", "min": 1},
        {"score": "motion"},
        {"score": "motion", "when_null": "keep"},
        {"score": "motion", "one_of": ["fast"]},
        {"score": "motion", "min": 2, "max": 1},
        {"score": "duplicate_of", "min": 1},
        {"score": "motion", "min": 1, "minimum": 2},
        {"score": "motion", "min": 1, "when": {"score": "beauty", "min": 1}},
        {"any": [{"score": "motion", "min": 1}]},
        {"name": "x", "any": [{"score": "motion", "min": 1}], "score": "bars", "max": 1},
        {"name": "x", "any": [{"score": "motion", "min": 1}, {"any": [{"score": "beauty"}]}]},
    ],
)
def test_rules_that_cannot_act_are_refused(rule):
    """A typo in a policy that keeps everything."""
    with pytest.raises(ValidationError):
        Policy(rules=[rule])


@pytest.mark.parametrize(
    "caps",
    [
        {"by": ["motion"], "most": 0.5},
        {"by": ["beauty"], "most": 0.5},
        {"by": [], "most": 0.5},
        {"by": ["licence"], "most": 0.0},
        {"by": ["licence"], "most": 0.5, "best": "licence"},
    ],
)
def test_caps_that_cannot_act_are_refused(caps):
    """A balance over numbers, or over nothing."""
    with pytest.raises(ValidationError):
        Balance(**caps)


def test_two_rules_of_one_name_are_refused():
    """A verdict that could mean either of two rules, also inside a phase."""
    twice = [{"score": "motion", "min": 1}, {"score": "motion", "max": 2}]
    with pytest.raises(ValidationError, match="give one a `name`"):
        Policy(rules=twice)
    with pytest.raises(ValidationError, match="give one a `name`"):
        Policy(phases={"high": {"rules": twice}})
    Policy(rules=[twice[0], {**twice[1], "name": "too fast"}])


def test_a_phase_adds_rules_and_replaces_those_of_one_name():
    """A phase that keeps the loose threshold beside the strict one, or loses the others."""
    policy = Policy(
        rules=[{"score": "motion", "min": 0.1}, {"score": "bars", "max": 0.05}],
        phases={
            "high": {"rules": [{"score": "motion", "min": 0.3}, {"score": "height", "min": 720}]}
        },
    )
    assert [(r.title, r.min) for r in policy.phase("high").rules] == [
        ("bars", None),
        ("motion", 0.3),
        ("height", 720),
    ]
    assert [r.min for r in policy.phase("").rules] == [0.1, None]
    with pytest.raises(ValueError, match="no phase 'low'; its phases: high"):
        policy.phase("low")
