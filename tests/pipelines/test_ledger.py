"""The ledger: whole rows, one a key, the same bytes whatever the order of arrival."""

import pyarrow.parquet as pq
import pytest

from pipelines.ledger import Ledger

FP = "f" * 12


def source(path, clips=1, status="ok", fp=FP):
    return {"path": path, "source_id": path, "status": status, "clips": clips, "fingerprint": fp}


def clip(path, number=0, fp=FP):
    return {"clip_id": f"{path}-{number}", "source_id": path, "fingerprint": fp, "path": path}


def score(path, number=0):
    return {"clip_id": f"{path}-{number}", "motion": 1.0}


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_order_and_batches_leave_no_trace(tmp_path):
    """Tables that differ between one worker and four, or after a kill."""
    paths = [f"p{i:02d}" for i in range(20)]
    one, two = Ledger(tmp_path / "one"), Ledger(tmp_path / "two")
    one.append("clips", [clip(p) for p in paths])
    for p in reversed(paths):
        two.append("clips", [clip(p)])
    two.append("clips", [clip(p) for p in paths[:7]])  # done again after a kill
    for ledger in (one, two):
        assert ledger.compact("clips")
    assert content(one.folder) == content(two.folder)
    assert not one.compact("clips")


def test_the_later_row_of_a_key_wins(tmp_path):
    """A film that failed, was mended, and stays failed."""
    ledger = Ledger(tmp_path)
    ledger.append("sources", [source("a", status="failed")])
    ledger.compact("sources")
    ledger.append("sources", [source("a")])
    ledger.append("sources", [source("a", fp="other", status="failed")])
    assert [(r["status"], r["fingerprint"]) for r in ledger.rows("sources")] == [
        ("ok", FP),
        ("failed", "other"),
    ]


def test_a_source_is_done_with_all_its_clips_only(tmp_path):
    """A kill between two tables that leaves a film with half its clips for good."""
    ledger = Ledger(tmp_path)
    ledger.append("sources", [source("whole", 2), source("half", 2), source("bad", 0, "failed")])
    ledger.append("clips", [clip("whole"), clip("whole", 1), clip("half"), clip("half", 1)])
    ledger.append(f"scores/scan@{FP}", [score("whole"), score("whole", 1), score("half")])
    assert set(ledger.finished(FP)) == {"whole", "bad"}
    assert not ledger.finished("other")


def test_a_part_that_was_being_written_is_not_there(tmp_path):
    """A torn file of a killed writer that breaks every later read."""
    ledger = Ledger(tmp_path)
    ledger.append("clips", [clip("a")])
    (tmp_path / "clips/.tmp-dead.parquet").write_bytes(b"PAR1 torn")
    assert len(ledger.rows("clips")) == 1
    ledger.compact("clips")
    assert not list((tmp_path / "clips").glob(".tmp-*"))


def test_replace_writes_only_what_differs(tmp_path):
    """A rerun that rewrites a table of the same content."""
    ledger = Ledger(tmp_path)
    rows = [{"clip_id": f"c{i}", "status": "ok"} for i in range(3)]
    assert ledger.replace("verdicts/x", rows)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "verdicts/x").iterdir()}
    assert not ledger.replace("verdicts/x", list(reversed(rows)))
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "verdicts/x").iterdir()}
    assert ledger.replace("verdicts/x", rows[:1])
    assert [r["clip_id"] for r in ledger.rows("verdicts/x")] == ["c0"]


def test_a_ledger_of_before_the_count_still_reads(tmp_path):
    """A data set that an older version made and that this one cannot open."""
    ledger = Ledger(tmp_path)
    ledger.append("sources", [source("a", status="failed") | {"reason": "corrupt"}])
    (part,) = (tmp_path / "sources").iterdir()
    pq.write_table(pq.read_table(part, partitioning=None).drop_columns(["attempts"]), part)
    ledger.append("sources", [source("b", status="failed") | {"attempts": 2}])
    assert [row["attempts"] for row in ledger.rows("sources")] == [None, 2]
    assert ledger.read("sources", ["attempts"])["attempts"].to_pylist() == [None, 2]
    assert ledger.compact("sources")
    assert [row["attempts"] for row in ledger.rows("sources")] == [None, 2]


def test_unknown_tables_and_columns_are_errors(tmp_path):
    """A misspelt column that is silently lost."""
    ledger = Ledger(tmp_path)
    with pytest.raises(ValueError, match="no column colour"):
        ledger.append("clips", [clip("a") | {"colour": "red"}])
    with pytest.raises(ValueError, match="no ledger table"):
        ledger.read("clip")
    assert ledger.rows("clips") == []
