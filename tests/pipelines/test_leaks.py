"""The evaluation-leak guard."""

import numpy as np
import pyarrow as pa

from pipelines.leaks import leaking
from pipelines.policy import Policy
from pipelines.verdicts import judge

SPLITS = ["train", "val", "train", "train", "val", "train"]


def clips(**columns):
    return pa.table({"clip_id": list("abcdef"), "seconds": np.ones(6), "split": SPLITS, **columns})


def names(*values):
    return pa.array(values, pa.string())


def test_a_song_on_both_sides_is_not_trained_on():
    """A validation loss that falls because its sound was trained on."""
    # a has the sound of b (held out); c the sound of a; e (held out) that of f.
    table = clips(sound_of=names("b", None, "a", None, "f", None))
    leak, why = leaking(table, np.ones(6, dtype=bool))
    assert leak.tolist() == [True, False, True, False, False, True]
    assert why[2] == "repeats the held-out clip b"
    assert why[5] == "repeats the held-out clip e"


def test_a_dropped_copy_leaks_nothing():
    """Training clips that go because of a held-out clip that is not kept."""
    table = clips(sound_of=names("b", None, "a", None, "f", None))
    alive = np.array([True, False, True, True, True, True])
    assert leaking(table, alive)[0].tolist() == [False, False, False, False, False, True]


def test_chains_may_pass_through_dropped_clips_and_columns():
    """a and b repeat c in picture and in sound: a chain is as good as a pair."""
    table = clips(duplicate_of=names("c", None, None, None, None, None),
                  sound_of=names(None, "c", None, None, None, None))  # fmt: skip
    alive = np.array([True, True, False, True, True, True])
    assert leaking(table, alive)[0].tolist() == [True] + [False] * 5


def test_names_outside_the_scan_are_no_edges():
    """A clip that repeats one that a takedown removed, as the last row."""
    table = clips(sound_of=names("gone", None, None, None, None, None))
    assert not leaking(table, np.ones(6, dtype=bool))[0].any()


def test_the_verdict_says_leak():
    """A guard that is on paper only."""
    table = clips(sound_of=names("b", None, None, None, None, None))
    rows = judge(Policy(rules=[]), table).verdicts.to_pylist()
    assert (rows[0]["reason"], rows[0]["detail"]) == (
        "policy:leak",
        "repeats the held-out clip b",
    )
    off = judge(Policy(rules=[], leak_guard=False), table).verdicts.to_pylist()
    assert off[0]["status"] == "ok"
