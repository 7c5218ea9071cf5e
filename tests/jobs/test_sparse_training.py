"""A dense run becomes sparse step by step, and recomputing changes no number, in the real loop."""

from jobs.training import loop

SPARSE = {"width": 16, "heads": 2, "dual": 1, "single": 1, "sparse": 0.4}
SHORT = {"steps": 4, "checkpoint_every": 4, "validate_every": 4}


def test_the_share_falls_by_the_recipe_and_recomputing_changes_nothing(
    tmp_path, shards, tiny, train_alone, facts, alone, monkeypatch
):
    """Catches a schedule that never reaches the model, and a setting that changes the losses."""
    told = []
    real = loop.set_share
    monkeypatch.setattr(loop, "set_share", lambda m, s: (told.append(s), real(m, s)))
    settings = {**SHORT, "model": SPARSE, "retrofit": {"by": 0.3, "every": 1}}
    plain = facts(train_alone(tiny(tmp_path / "plain", shards, **settings)))
    assert told[::2] == [1.0, 0.7, 0.4, 0.4]
    assert told[::2] == told[1::2], "model and averaged model alike"
    again = facts(train_alone(tiny(tmp_path / "again", shards, recompute="block", **settings)))
    assert again == plain
    assert {line["kind"] for line in plain} == {"step", "validation"}
