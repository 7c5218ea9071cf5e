"""Histograms: every clip is in one bar, and thresholds stand where they cut."""

import re

import numpy as np
import pytest

from jobs.report.histograms import BINS, WIDTH, Limit, draw, limits_of, make_axis
from pipelines.policy import Check, Policy, Rule

TOLD = re.compile(r"<title>([^:]+): (\d+) kept, (\d+) dropped</title>")


def counts(svg: str) -> dict[str, tuple[int, int]]:
    return {label: (int(kept), int(dropped)) for label, kept, dropped in TOLD.findall(svg)}


@pytest.mark.parametrize("kind", ["normal", "logs", "whole", "constant"])
def test_every_clip_is_counted_once(kind):
    """Clips beyond the axis, or without the score, that no bar shows."""
    rng = np.random.default_rng(0)
    values = {
        "normal": rng.normal(size=500),
        "logs": 10 ** rng.uniform(-4, 2, 500),
        "whole": rng.integers(0, 4, 500).astype(float),
        "constant": np.full(500, 0.3),
    }[kind]
    values[:40] = np.nan
    kept = rng.random(500) < 0.3
    axis = make_axis(values[np.isfinite(values)], [])
    assert (axis.logs, axis.whole) == (kind == "logs", kind == "whole")
    told = counts(draw(values, kept, [], axis))
    assert told.pop("not available") == (kept[:40].sum(), (~kept[:40]).sum())
    assert sum(k for k, _ in told.values()) == kept[40:].sum()
    assert sum(d for _, d in told.values()) == (~kept[40:]).sum()
    if kind == "whole":
        assert set(told) == {"0", "1", "2", "3"}


def test_thresholds_are_on_the_axis():
    """A limit that lies outside of what is drawn, or on the wrong side of the bar that passes."""
    axis = make_axis(np.linspace(0.2, 0.4, 100), [0.9])
    assert axis.border(Limit(0.9, under=False, kind="rule")) < 1
    assert len(axis.edges) == BINS + 1
    whole = make_axis(np.array([0.0, 1.0]), [1.0])
    assert whole.border(Limit(1.0, under=True, kind="rule")) * WIDTH == pytest.approx(WIDTH / 2)
    logs = make_axis(10.0 ** np.linspace(-4, 2, 100), [1.0])
    assert logs.share(logs.value(0.3)) == pytest.approx(0.3)


def test_a_threshold_says_of_whom_it_is_asked():
    """A limit of some clips only that looks as if all were measured by it."""
    policy = Policy(
        rules=[
            Rule(score="motion", min=0.1),
            Rule(name="fast", score="motion", max=2, when=Check(score="fps", min=50)),
            Rule(name="either", any=(Check(score="motion", min=0.5), Check(score="bars", max=0))),
        ]
    )
    assert limits_of(policy, "motion") == [
        Limit(0.1, under=True, kind="rule"),
        Limit(2, under=False, kind="partly"),
        Limit(0.5, under=True, kind="partly"),
    ]
    assert limits_of(policy, "fps") == [Limit(50, under=True, kind="when")]
