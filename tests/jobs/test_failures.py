"""The dead letters of all passes in one place."""

import json

import pytest

from jobs import cli, failures
from jobs.config import RecipeError, make_recipe
from pipelines.ledger import Ledger


@pytest.fixture
def recipe(tmp_path):
    """A data set with failures in scan, judge and caption, and much that is none."""
    values = {
        "name": "t",
        "out": str(tmp_path),
        "judge": {"judges": ["text", "faces"]},
        "caption": {"prefer": ["llm"], "llm": {"model": "m", "url": "http://localhost:1/v1"}},
    }
    recipe = make_recipe(values, "r.yaml")
    ledger, scan = Ledger(recipe.data.ledger), recipe.scan.fingerprint()
    bad = {"status": "failed", "reason": "corrupt", "detail": "cut <b>[red]\x1b[31m", "attempts": 1}
    ledger.append("sources", [
        {"path": "/f/bad.mp4", "fingerprint": scan, "source_id": "b"} | bad,
        {"path": "/f/gone.mp4", "fingerprint": scan, "status": "failed", "reason": "unreadable"},
        {"path": "/f/copy.mp4", "fingerprint": scan, "status": "skipped", "reason": "duplicate"},
        {"path": "/f/short.mp4", "fingerprint": scan, "status": "filtered", "reason": "too_short"},
        {"path": "/f/ok.mp4", "fingerprint": scan, "status": "ok", "source_id": "a"},
        {"path": "/f/other.mp4", "fingerprint": "0" * 12} | bad,
    ])  # fmt: skip
    ledger.append("clips", [
        {"clip_id": f"a-{i}", "path": "/f/ok.mp4", "fingerprint": scan} for i in range(30)
    ])  # fmt: skip
    table = recipe.judge.tables()["text"]
    died = {"status": "failed", "reason": "worker_died", "attempts": 2}
    ledger.append(table, [{"clip_id": f"a-{i}"} | died for i in range(30)])
    ledger.append(table, [{"clip_id": "of-another-scan"} | died])
    absent = {"status": "skipped", "reason": "no_model"}
    ledger.append(recipe.judge.tables()["faces"], [{"clip_id": "a-0"} | absent])
    answers = f"scores/answers@{recipe.caption.llm.fingerprint()}"
    ledger.append(answers, [
        {"clip_id": "a-0", "status": "truncated", "reason": "bad_caption", "attempts": 1},
        {"clip_id": "a-1", "status": "ok"},
    ])  # fmt: skip
    return recipe


def test_all_that_failed_is_listed_and_nothing_else(recipe, capsys):
    """A failure that no list has, or films in it that the policy or a repeat left out."""
    assert failures.run(recipe, ["--json"]) == cli.DONE
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counts = {}
    for row in found:
        key = (row["step"], row["of"], row["reason"], row["attempts"])
        counts[key] = counts.get(key, 0) + 1
    assert counts == {
        ("scan", "", "corrupt", 1): 1,
        ("scan", "", "unreadable", None): 1,
        ("judge", "text", "worker_died", 2): 30,
        ("judge", "faces", "no_model", None): 1,
        ("caption", "", "bad_caption", 1): 1,
    }
    assert all(row["path"] == "/f/ok.mp4" for row in found if row["step"] != "scan")


def test_the_table_is_short_and_plain(recipe, capsys):
    """A thousand lines of one failure, or a film's words that colour the terminal."""
    assert failures.run(recipe, []) == cli.DONE
    out = capsys.readouterr().out
    assert "and 10 more" in out
    assert "30 worker_died in judge text" in out
    assert "/f/bad.mp4" in out
    assert "cut <b>[red]" in out
    assert "\x1b" not in out
    assert failures.run(recipe, ["--reason=corrupt"]) == cli.DONE
    assert "worker_died" not in capsys.readouterr().out


def test_an_unknown_reason_names_those_present(recipe):
    """A typo that is answered with "no failures"."""
    with pytest.raises(RecipeError, match=r"curropt: .*worker_died \(30\).*corrupt \(1\)"):
        failures.run(recipe, ["--reason=curropt", "--reason=corrupt"])


def test_no_failures_is_said(tmp_path, capsys):
    """An empty table, or a trace where nothing was scanned yet."""
    recipe = make_recipe({"name": "t", "out": str(tmp_path)}, "r.yaml")
    assert failures.run(recipe, []) == cli.DONE
    assert "none in" in capsys.readouterr().err
    with pytest.raises(RecipeError, match="nothing has failed at all"):
        failures.run(recipe, ["--reason=corrupt"])
