"""Which rows are tried again, and how often they were."""

import pytest

from pipelines.retry import counted, dead, wanted


def row(status, reason=None, **more):
    return {"status": status, "reason": reason} | more


@pytest.mark.parametrize(
    ("given", "rerun", "replay"),
    [
        (None, True, False),
        (row("ok"), False, False),
        (row("filtered", "too_short"), False, False),
        (row("skipped", "duplicate"), False, False),
        (row("failed", "corrupt"), False, True),
        (row("failed", "worker_died"), False, False),
        (row("failed", "unreadable"), True, False),
        (row("skipped", "no_model"), True, False),
    ],
)
def test_a_rerun_and_a_replay_take_up_different_rows(given, rerun, replay):
    """A replay that starts on new films, or a rerun that tries a corrupt one for ever."""
    assert wanted(given) == rerun
    assert wanted(given, ["corrupt", "too_short", "duplicate"]) == replay


def test_what_the_policy_or_a_repeat_left_out_is_no_dead_letter():
    """A list of failures that is full of films that nothing is wrong with."""
    assert not dead(row("filtered", "too_short"))
    assert not dead(row("skipped", "taken_down"))
    assert dead(row("failed", "too_short"))
    assert dead(row("truncated", "bad_caption")), "a model's answer has a status of its own"


def test_attempts_add_up_over_runs_and_leave_no_trace_of_success():
    """A count that starts anew with each run, or tables that tell how a success came about."""
    first = counted(row("failed", "internal"), None)
    second = counted(row("failed", "internal"), first)
    third = counted(row("failed", "worker_died"), second)
    assert [r["attempts"] for r in (first, second, third)] == [1, 2, 4]
    assert counted(row("ok"), third)["attempts"] is None
    assert counted(row("failed", "corrupt"), row("ok", attempts=None))["attempts"] == 1
    old = row("failed", "unreadable", attempts=None)  # of a ledger before the count
    assert counted(row("failed", "unreadable"), old)["attempts"] == 2
