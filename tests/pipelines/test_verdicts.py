"""Verdicts and the funnel."""

import time

import numpy as np
import pyarrow as pa
import pytest

from curation.scores import CROP
from pipelines.ledger import SCHEMAS, Ledger, to_table
from pipelines.policy import Balance, Check, Policy, Rule
from pipelines.verdicts import asked, decide, judge, scored_table

FP = "f" * 12


def table(**columns):
    """Clips a, b, c... of an hour each with the given columns."""
    count = len(next(iter(columns.values())))
    ids = [chr(ord("a") + i) for i in range(count)]
    return pa.table({"clip_id": ids, "seconds": np.full(count, 3600.0), **columns})


def statuses(rule, **columns):
    return judge(Policy(rules=[rule]), table(**columns)).verdicts["status"].to_pylist()


def test_the_first_failing_rule_names_the_verdict():
    """Verdicts without a reason, or with the wrong one."""
    policy = Policy(rules=[Rule(score="motion", min=0.1), Rule(score="bars", max=0.05)])
    rows = judge(policy, table(motion=[0.5, 0.0, 0.5], bars=[0.0, 0.5, 0.5])).verdicts.to_pylist()
    assert [(r["status"], r["reason"], r["detail"]) for r in rows] == [
        ("ok", None, None),
        ("filtered", "policy:motion", "motion 0 < 0.1"),
        ("filtered", "policy:bars", "bars 0.5 > 0.05"),
    ]


def test_null_never_passes_by_itself():
    """A score that is not available (null, NaN, or no such column) and lets everything through."""
    drop, keep = Rule(score="motion", min=0.1), Rule(score="motion", min=0.1, when_null="keep")
    values = pa.array([None, float("nan")], pa.float64())
    verdicts = judge(Policy(rules=[drop]), table(motion=values)).verdicts.to_pylist()
    assert [v["detail"] for v in verdicts] == ["motion is not available"] * 2
    assert statuses(drop, bars=[0.0]) == ["filtered"]
    assert statuses(keep, motion=values) == ["ok", "ok"]


def test_a_rule_may_speak_of_some_clips_only():
    """An uncertain sync offset that drops a good clip."""
    rule = Rule(score="sync_offset_ms", max=100, when=Check(score="sync_confidence", min=3))
    offsets, sure = [300.0] * 3, pa.array([2.0, 4.0, None], pa.float64())
    assert statuses(rule, sync_offset_ms=offsets, sync_confidence=sure) == ["ok", "filtered", "ok"]


def test_names_are_asked_one_by_one():
    """A rule on names that takes 'a, b' for one name, or null for a licence."""
    licences = ["CC-BY", "CC0, PD", None, "all rights reserved"]
    one_of = Rule(score="licence", one_of=("CC-BY", "PD"))
    assert statuses(one_of, licence=licences) == ["ok", "ok", "filtered", "filtered"]
    none_of = Rule(score="licence", none_of=("PD",), when_null="keep")
    assert statuses(none_of, licence=licences) == ["ok", "filtered", "ok", "ok"]
    absent = Rule(score="licence", present=False)
    assert statuses(absent, licence=licences) == ["filtered", "filtered", "ok", "filtered"]
    with_class = Rule(score="motion", min=0.2, when=Check(score="licence", one_of=("CC-BY",)))
    assert statuses(with_class, licence=licences, motion=[0.1] * 4) == ["filtered"] + ["ok"] * 3


def test_groups_follow_kleene():
    """An OR that null makes false, or an AND that null makes true."""
    low, high = Check(score="motion", max=0.1), Check(score="bars", max=0.1)
    motion = pa.array([0.0, 0.5, None, None, 0.5], pa.float64())
    bars = pa.array([0.5, 0.0, 0.0, None, None], pa.float64())
    either = Rule(name="either", any=(low, high))
    assert statuses(either, motion=motion, bars=bars) == ["ok", "ok", "ok", "filtered", "filtered"]
    both = Rule(name="both", all=(low, high), when_null="keep")
    # Clip c: one yes, one unknown; e: one no, one unknown.
    assert statuses(both, motion=motion, bars=bars) == [
        "filtered", "filtered", "ok", "ok", "filtered"
    ]  # fmt: skip
    detail = judge(Policy(rules=[either]), table(motion=motion, bars=bars)).verdicts["detail"]
    assert detail[4].as_py() == "motion 0.5 > 0.1; bars is not available"


def test_bars_count_against_the_size_of_a_picture(tmp_path):
    """A 720p film between bars that passes for 720 rows of picture, or unknown bars for none."""
    ledger = Ledger(tmp_path)
    size = {"start_s": 0.0, "end_s": 2.0, "width": 1280, "height": 720, "fingerprint": FP}
    ledger.replace("clips", [{"clip_id": i} | size for i in "abc"])
    none = dict.fromkeys(CROP, 0.0)
    wide = none | {"bar_top": 0.125, "bar_bottom": 0.125}
    ledger.replace(f"scores/scan@{FP}", [{"clip_id": "a", **none}, {"clip_id": "b", **wide},
                                         {"clip_id": "c"}])  # fmt: skip
    for rule, kept in (
        (Rule(score="shown_height", min=720), ["ok", "filtered", "filtered"]),
        (Rule(score="shown_height", min=540), ["ok", "ok", "filtered"]),
        (Rule(score="shown_width", min=1280), ["ok", "ok", "filtered"]),
    ):
        policy = Policy(rules=[rule])
        clips = scored_table(ledger, FP, names=asked(policy))
        assert judge(policy, clips).verdicts["status"].to_pylist() == kept


def test_a_limit_finer_than_the_measure_is_refused():
    """A policy on lip sync of 40 ms over films of 8 frames a second, which chance would decide."""
    rule = Rule(score="sync_offset_ms", min=-40, max=40, when_null="keep")
    with pytest.raises(ValueError, match="resolves no finer than 125"):
        statuses(rule, sync_offset_ms=[10.0, 90.0], sync_floor_ms=[125.0, 125.0])
    # Where some clips can tell, the others do not know.
    floors = [125.0, 33.0]
    assert statuses(rule, sync_offset_ms=[90.0, 90.0], sync_floor_ms=floors) == ["ok", "filtered"]


def test_funnel_counts_what_each_rule_alone_removes():
    """Clips or hours that do not add up from line to line."""
    policy = Policy(rules=[Rule(score="motion", min=0.1), Rule(score="bars", max=0.05)])
    clips = table(motion=[0.5, 0.0, 0.5, 0.0], bars=[0.0, 0.5, 0.5, 0.0])
    motion, bars, _ = judge(policy, clips).funnel
    assert (motion.failed, motion.removed, motion.alone, motion.left) == (2, 2, 1, 2)
    assert (bars.failed, bars.removed, bars.alone, bars.left, bars.left_hours) == (2, 1, 1, 1, 1.0)
    assert (bars.failed_hours, bars.removed_hours, bars.alone_hours) == (2.0, 1.0, 1.0)


def test_the_table_joins_by_id_and_keeps_order(tmp_path):
    """Scores or licences that land on another clip, or clips without scores that pass as null."""
    ledger = Ledger(tmp_path)
    clips = [
        {"clip_id": i, "path": f"p{i}", "start_s": 0.0, "end_s": 2.0, "fingerprint": FP}
        for i in "abcd"
    ]
    ledger.replace("clips", clips)
    ledger.replace(
        f"scores/scan@{FP}",
        [{"clip_id": i, "motion": float(ord(i))} for i in "dba"],
    )
    ledger.replace(
        "sources", [{"path": f"p{i}", "fingerprint": FP, "licence": f"L{i}"} for i in "dca"]
    )
    judged = [{"clip_id": i, "status": "ok", "events": f"s{i}"} for i in "bd"]
    ledger.replace("scores/events@x", judged)
    found = scored_table(ledger, FP, ["scores/events@x"])
    assert "status" not in found.column_names  # of the judge, not of the clip
    rows = found.select(["clip_id", "motion", "licence", "events", "seconds"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("a", 97.0, "La", None, 2.0),
        ("b", 98.0, None, "sb", 2.0),
        ("d", 100.0, "Ld", "sd", 2.0),
    ]


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
    assert time.process_time() - start < 2
    assert (tally.status["ok"], tally.status["filtered"]) == (count * 3 // 4, count // 4)
    part = next((tmp_path / "verdicts").rglob("*.parquet"))
    before = part.stat().st_mtime_ns
    decide(policy, ledger, FP)
    assert part.stat().st_mtime_ns == before


def test_verdicts_have_the_ledgers_schema():
    """A table that the ledger refuses, or whose empty columns have no type."""
    verdicts = judge(Policy(rules=[]), table(motion=[0.1])).verdicts
    assert verdicts.schema == SCHEMAS["verdicts"]
    assert verdicts.equals(to_table("verdicts", [{"clip_id": "a", "status": "ok"}]))


def test_judging_reads_all_that_it_asks_for(tmp_path):
    """A score that is pruned away and so fails every clip, or passes by `when`."""
    ledger = Ledger(tmp_path)
    ledger.replace("clips", [{"clip_id": "a", "start_s": 0.0, "end_s": 2.0, "fingerprint": FP}])
    row = {"clip_id": "a", "motion": 0.5, "bars": 0.0, "sync_offset_ms": 1.0, "colours": "red"}
    ledger.replace(f"scores/scan@{FP}", [row | {"sync_confidence": 3.0, "sync_floor_ms": 40.0}])
    either = Rule(name="either", any=(Check(score="motion", min=9), Check(score="bars", max=1)))
    finer = Rule(score="sync_offset_ms", max=50, when=Check(score="sync_confidence", min=2))
    caps = Balance(by=("colours",), most=1.0, best="contrast")
    policy = Policy(rules=[either, finer], balance=caps)
    whole = scored_table(ledger, FP)
    pruned = scored_table(ledger, FP, names=asked(policy))
    assert "brightness" not in pruned.column_names
    assert {"sync_floor_ms", "sync_confidence", "colours", "contrast", "sound_of"} <= set(
        pruned.column_names
    )
    assert judge(policy, pruned).verdicts.equals(judge(policy, whole).verdicts)
    assert judge(policy, pruned).verdicts["status"].to_pylist() == ["ok"]
