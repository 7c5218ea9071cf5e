"""Embeddings as text."""

import numpy as np
import pytest

from curation.judges.vectors import cosine, pack, unpack


def test_embeddings_survive_as_text():
    """Similarities that change on the way through the ledger."""
    rows = np.random.default_rng(0).normal(size=(20, 1280)).astype(np.float32)
    back = unpack([pack(row) for row in rows])
    assert back.shape == (20, 1280)
    assert np.abs(np.linalg.norm(back, axis=1) - 1).max() < 1e-3
    true = np.array([[cosine(a, b) for b in rows] for a in rows])
    assert np.abs(back @ back.T - true).max() < 1e-3
    assert len(pack(rows[0])) < 3500


def test_mixed_models_and_nothing():
    """Vectors of two models compared with each other, or an empty ledger ending in a trace."""
    with pytest.raises(ValueError, match="different models"):
        unpack([pack(np.ones(4)), pack(np.ones(5))])
    assert unpack([]).shape[0] == 0
    assert cosine(np.zeros(3), np.ones(3)) == 0
