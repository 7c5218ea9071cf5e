"""Semantic near-duplicates."""

import numpy as np
import pytest

import pipelines.alike as module
from curation.judges.vectors import pack
from pipelines.alike import alike_table, mark_alike, neighbours
from pipelines.ledger import Ledger


def scenes(count, copies, seed=0):
    """Unit vectors: `count` scenes, each with `copies` slightly other views behind them."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(count, 64))
    views = np.repeat(base, copies, axis=0) + 0.05 * rng.normal(size=(count * copies, 64))
    whole = np.concatenate([base, views]).astype(np.float32)
    return whole / np.linalg.norm(whole, axis=1, keepdims=True)


@pytest.mark.parametrize("size", [20_000, 40])
def test_views_of_a_scene_find_it(monkeypatch, size):
    """A neighbour in another cluster that is missed, or one that comes later."""
    monkeypatch.setattr(module, "ONE_CLUSTER", size)
    monkeypatch.setattr(module, "ROWS", 17)
    vectors = scenes(60, 2)
    best, cosine = neighbours(vectors)
    views = np.arange(60, 180)
    assert (cosine[views] > 0.95).mean() == 1.0
    assert (best[views] < views).all()
    assert all((b in (i // 2, 60 + 2 * (i // 2))) for i, b in enumerate(best[views]))
    assert (cosine[:60] < 0.8).all()


def test_better_clips_keep_their_place(tmp_path):
    """The larger picture that goes and leaves its small copy."""
    ledger = Ledger(tmp_path)
    vectors = scenes(2, 1)  # rows 0 and 2 show one scene, 1 and 3 the other
    sizes = {"a": 64, "b": 64, "c": 128, "d": 64}
    ledger.replace(
        "clips",
        [{"clip_id": i, "width": s, "height": s, "fingerprint": "f"} for i, s in sizes.items()],
    )
    rows = [{"clip_id": i, "embedding": pack(v)} for i, v in zip("abcd", vectors, strict=True)]
    ledger.replace("scores/embed@e", [*rows, {"clip_id": "z", "embedding": rows[0]["embedding"]}])
    mark_alike(ledger, "scores/embed@e", "f")
    found = {r["clip_id"]: r for r in ledger.rows(alike_table("scores/embed@e", "f"))}
    assert {i: r["alike_of"] for i, r in found.items()} == {
        "a": "c", "b": None, "c": None, "d": "b"
    }  # fmt: skip
    assert found["d"]["alike"] == pytest.approx(float(vectors[1] @ vectors[3]), abs=1e-3)


def test_without_embeddings_nothing_is_written(tmp_path):
    """A table of zeros where the judge could not run."""
    ledger = Ledger(tmp_path)
    ledger.replace("scores/embed@e", [{"clip_id": "a"}])
    mark_alike(ledger, "scores/embed@e", "f")
    assert not any("alike" in table for table in ledger.tables())
