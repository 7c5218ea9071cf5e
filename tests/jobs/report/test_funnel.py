"""Where the hours went: every table adds up to the same clips."""

import numpy as np
import pytest

from jobs.report import funnel
from jobs.report.facts import gather
from tests.jobs.report.run import build


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return gather(build(tmp_path_factory.mktemp("run"), films=6))


def test_kinds_add_up(facts):
    """Clips that are in no class or film, or in two."""
    whole = facts.seconds.sum() / 3600
    for rows in (funnel.by_film(facts), funnel.by_class(facts)[:-1]):
        assert sum(row.cut[0] for row in rows) == 6
        assert sum(row.cut[1] for row in rows) == pytest.approx(whole)
        assert sum(row.kept[0] for row in rows) == 5
    assert funnel.by_class(facts)[-1].cut[0] == 6


def test_many_films_are_a_table_a_person_reads(facts, monkeypatch):
    """A line for each of ten thousand films, or films that the last line forgets."""
    monkeypatch.setattr(funnel, "FILMS", 2)
    rows = funnel.by_film(facts)
    assert [row.label for row in rows[2:]] == ["4 other films"]
    assert sum(row.cut[0] for row in rows) == 6


def test_stages_lose_what_their_rules_take(facts):
    """A funnel whose lines do not follow from each other."""
    rows = funnel.stages(facts)
    clips = [row for row in rows if row.unit == "clips"]
    assert [row.count for row in clips] == [6, 5, 5]
    assert clips[1].lost == 1
    assert clips[1].label == "after frozen_share"
    assert rows[0].label == "films found"
    assert rows[0].hours == pytest.approx(6 * 2.125 / 3600)


def test_rules_say_what_is_not_known(facts):
    """A rule that looks strict and lets every clip pass that it cannot measure."""
    loud = {row.title: row for row in funnel.removals(facts)}["still or loud"]
    assert loud.asks == "motion ≥ 0.05 or loudness_lufs ≥ -30"
    assert loud.null == ""  # the motion is known
    assert loud.failed == (0, 0.0)


def test_a_phase_is_compared_with_the_policy(facts):
    """What a phase drops told in other clips than it drops."""
    mine, high = funnel.by_phase(facts)
    motion = facts.clips["motion"].to_numpy()
    assert mine["count"] == 5
    assert high["count"] == int((facts.kept & (motion >= 0.2)).sum())
    assert high["changes"] == [f"- motion {int((facts.kept & (motion < 0.2)).sum())}"]
    assert high["hours"] == pytest.approx(high["count"] * 2.125 / 3600)
    assert not np.isnan(high["hours"])
