"""What a change of policy costs."""

import numpy as np
import pyarrow as pa

from pipelines.policy import Policy, Rule
from pipelines.policy_diff import diff, reasons
from pipelines.verdicts import judge


def test_changes_are_told_by_class_and_by_rule():
    """Hours that do not add up, a gain that is told as a loss, or a rule of the wrong side."""
    clips = pa.table(
        {
            "clip_id": list("abcd"),
            "seconds": np.array([3600.0, 7200.0, 3600.0, 3600.0]),
            "motion": [0.1, 0.3, 0.5, 0.9],
            "bars": [0.0, 0.2, 0.0, 0.0],
            "sound_class": ["music", "speech", "speech", None],
            "has_sound": [1.0, 1.0, 1.0, 0.0],
        }
    )
    a = judge(Policy(rules=[Rule(score="bars", max=0.1)]), clips)
    b = judge(Policy(rules=[Rule(score="motion", min=0.2)]), clips)
    lines = {c.title: c for c in diff(clips, a, b)}
    assert list(lines)[-1] == "(all)"
    assert (lines["music"].lost, lines["music"].lost_hours, lines["music"].after) == (1, 1.0, 0.0)
    assert (lines["speech"].gained_hours, lines["speech"].before, lines["speech"].after) == (
        2,
        1,
        3,
    )
    assert (lines["silent"].before, lines["silent"].after) == (1.0, 1.0)
    assert lines["(all)"].before == 3.0
    assert lines["(all)"].after == 4.0
    assert reasons(a, b) == [("+ policy:bars", 1, 2.0), ("- policy:motion", 1, 1.0)]
