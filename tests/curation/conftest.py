"""What tests of films in a store share."""

import pytest

from curation.places import Remote


@pytest.fixture
def fetched(monkeypatch):
    """How many bytes each request asked of the store."""
    counts = []
    part = Remote._part

    def counting(self, file, count, start):
        counts.append(count)
        return part(self, file, count, start)

    monkeypatch.setattr(Remote, "_part", counting)
    return counts
