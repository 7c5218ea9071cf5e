"""A cause that lies outside the films ends a pass; films that are bad do not."""

import pytest

from pipelines.budget import CURES, FEWEST, Budget, BudgetError


def row(reason=None, number=0, **more):
    status = "failed" if reason else "ok"
    return {"status": status, "reason": reason, "path": f"/f/{number}", "detail": "gone"} | more


def test_a_broken_system_stops_early_with_cause_example_and_cure():
    """A night of work on storage that is gone."""
    budget = Budget("films", 0.2)
    with pytest.raises(BudgetError) as caught:
        budget.add_all(row("unreadable", number) for number in range(1_000))
    said = str(caught.value)
    assert f"{FEWEST} of {FEWEST} films" in said
    for part in ("unreadable", "/f/0: gone", CURES["unreadable"], "error_budget = 20%", "go on"):
        assert part in said


@pytest.mark.parametrize("reason", ["corrupt", "decoder_crash", "timeout", "format_not_allowed"])
def test_bad_films_are_rows_however_many(reason):
    """A folder of broken films taken for a broken system."""
    Budget("films", 0.1).add_all(row(reason, n) for n in range(500))


def test_a_few_failures_or_a_small_share_are_no_cause():
    """A run that stops for one film of five, or for 3 in a thousand."""
    Budget("films", 0.1).add_all(row("internal", n) for n in range(FEWEST - 1))
    thousands = [row("internal", n) if n % 300 == 0 else row() for n in range(20_000)]
    Budget("films", 0.1).add_all(thousands)
    Budget("films", 1.0).add_all(row("internal", n) for n in range(500))


def test_each_judge_has_its_own_share():
    """One broken judge of nine that hides behind the eight that work."""
    budget = Budget("judgements", 0.2)
    for judge in "abcdefgh":
        budget.add_all((row() for _ in range(100)), judge)
    with pytest.raises(BudgetError, match="of faces failed as internal"):
        budget.add_all((row("internal", number) for number in range(100)), "faces")


def test_what_failed_before_does_not_stop_a_rerun():
    """A data set with some films gone for good that can never be finished, or a quarantine that
    counts as old news."""
    budget = Budget("films", 0.2)
    budget.add_all(row("unreadable", n, attempts=2) for n in range(500))
    budget.add_all(row() for _ in range(10))
    with pytest.raises(BudgetError, match="worker_died"):
        budget.add_all(row("worker_died", n, attempts=2) for n in range(FEWEST))
