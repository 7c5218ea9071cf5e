"""Inputs that kill who works on them are known by name, over workers and over runs."""

import pytest

from curation.records import Reason, RejectedError
from pipelines.attempts import DEATHS, Attempts, begun, deaths_file


def test_what_ends_is_no_death(tmp_path):
    """A film that is quarantined because it was done again, after its node or its result went."""
    watch = Attempts(tmp_path / "deaths.json")
    for _ in range(DEATHS + 2):
        with begun(watch, "a"):
            pass
        with pytest.raises(ZeroDivisionError), begun(watch, "a"):
            raise ZeroDivisionError
    assert not (tmp_path / "deaths.json").exists()


def test_two_deaths_are_quarantine_over_runs(tmp_path):
    """A film that kills one worker in each run, for ever, or that takes another with it."""
    path = tmp_path / "x" / "deaths.json"
    first = Attempts(path)
    assert [first.begin("a"), first.begin("b"), first.begin("a")] == [0, 0, 1]
    second = Attempts(path)  # the driver was killed; b was in hand and is not blamed
    assert [second.begin("b"), second.begin("a"), second.begin("a")] == [0, 1, 2]
    third = Attempts(path)
    for _ in range(3):
        with pytest.raises(RejectedError) as caught, begun(third, "a"):
            pytest.fail("it was tried a third time")
        assert caught.value.reason == Reason.WORKER_DIED
        assert "reelmill replay" in caught.value.detail
    with begun(third, "b"):
        pass


def test_who_reads_ahead_can_ask_before_it_begins():
    """Innocents that are blamed with the clip that kills, because they were in hand beside it."""
    watch = Attempts()
    with begun(watch, "fine"):
        watch.begin("poison")
    assert not watch.died(["fine", "other"])
    assert watch.died(["fine", "poison"]), "in hand when its worker died"
    watch.begin("poison")
    watch.end("poison")
    assert watch.died(["poison"]), "it killed one once"


def test_a_driver_that_works_itself_leaves_a_mark(tmp_path):
    """A clip that kills the driver, run after run, because nobody was left to count."""
    path = tmp_path / "deaths.json"
    for _ in range(DEATHS):
        alone = Attempts(path, alone=True)
        with begun(alone, "fine"):
            pass
        assert alone.begin("poison") < DEATHS  # and the process is gone
    last = Attempts(path, alone=True)
    assert last.begin("fine") == 0
    assert last.begin("poison") == DEATHS
    last.end("fine")
    last.close()
    assert Attempts(path, alone=True).begin("fine") == 0, "a clean stop is no death"


def test_a_replay_begins_without_deaths(tmp_path):
    """A quarantine that nothing opens, or files beside the ledger that a table's name leads to."""
    path = deaths_file(tmp_path, "scores/x@1")
    assert path.parent == tmp_path / "deaths"
    watch = Attempts(path)
    for _ in range(DEATHS + 1):
        watch.begin("a")
    assert Attempts(deaths_file(tmp_path, "scores/x@1")).begin("a") == DEATHS
    assert Attempts(deaths_file(tmp_path, "scores/x@1", ["worker_died"])).begin("a") == 0
