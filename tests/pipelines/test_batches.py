"""Results are told when they arrive and given when they are safe."""

import pytest

from pipelines import batches


def test_nothing_is_given_before_it_is_safe(monkeypatch):
    """A row that is counted as done though a kill would lose it."""
    monkeypatch.setattr(batches, "COMMIT_ITEMS", 3)
    safe, told = [], []
    for item in batches.committed(range(7), safe.extend, told.append):
        assert item in safe
    assert safe == told == list(range(7))


def test_a_failure_keeps_what_was_committed(monkeypatch):
    """A batch that is lost, or committed twice, when the work behind it stops."""
    monkeypatch.setattr(batches, "COMMIT_ITEMS", 2)

    def work():
        yield from range(5)
        raise RuntimeError("the worker is gone")

    safe = []
    with pytest.raises(RuntimeError, match="gone"):
        list(batches.committed(work(), safe.extend, lambda _: None))
    assert safe == [0, 1, 2, 3]
