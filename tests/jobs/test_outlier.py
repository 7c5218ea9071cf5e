"""Steps whose gradient is far larger than those before are skipped, alike after a restart."""

import math
import shutil

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from jobs.training import checkpoint, loop
from jobs.training.config import TrainConfig
from jobs.training.outlier import Watch
from jobs.training.outlier_config import OutlierConfig
from tests.jobs.conftest import TINY
from tests.train_ranks import train_ranks

pytestmark = pytest.mark.usefixtures("alone")
OUTLIER = {"times": 4.0, "window": 8, "after": 3}
SETTINGS = {"outlier": OUTLIER, "schedule": "constant", "checkpoint_every": 1, "keep_last": 9}


def spoil(monkeypatch, factors):
    """The loss of step n, counted from 1, is differentiated `factors[n]` times as large."""
    real, steps = loop.take_step, loop.weighted
    now = [0]

    def take_step(run, *given):
        now[0] = run.counters.step + 1
        return real(run, *given)

    def weighted(found, config, total):
        loss = steps(found, config, total)
        return loss * factors.get(now[0], 1.0)

    monkeypatch.setattr(loop, "take_step", take_step)
    monkeypatch.setattr(loop, "weighted", weighted)


def test_the_limit_is_a_multiple_of_the_median():
    """Catches a limit before anything is known, one that a spike moves, and a window that grows."""
    watch = Watch(OutlierConfig(times=2, window=4, after=3))
    assert watch.limit() == math.inf
    for norm in (1.0, 100.0, 2.0):
        watch.taken(norm)
    assert watch.limit() == 4.0
    for norm in (3.0, 3.0, 3.0):
        watch.taken(norm)
    assert list(watch.norms) == [2.0, 3.0, 3.0, 3.0]
    assert Watch(watch.config, list(watch.norms)).limit() == watch.limit() == 6.0
    for wrong in ({"after": 200}, {"times": 1.0}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            OutlierConfig(**wrong)
    with pytest.raises(ValidationError, match="muon's updates have one size"):
        TrainConfig(outlier=OUTLIER, optimizer="muon")


def weights(job, step):
    return checkpoint.read_weights(job.folder / checkpoint.name(step)).tensors


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("zero", "dtype"),
    [
        (1, "bfloat16"),
        (0, "float32"),
        pytest.param(2, "float32", marks=pytest.mark.slow),
        pytest.param(3, "float32", marks=pytest.mark.slow),
    ],
)
def test_an_outlier_changes_nothing(
    tmp_path, monkeypatch, shards, tiny, train_alone, facts, zero, dtype
):
    """Catches a spike that reaches weights, moments or the average, a step that is skipped for
    less, and clips that are not named.
    """
    spoil(monkeypatch, {2: 1000.0, 5: 2.0, 6: 1000.0, 7: math.nan})
    job = tiny(tmp_path, shards, **SETTINGS, zero=zero, dtype=dtype)
    lines = train_alone(job)
    bad = {line["step"]: line for line in lines if line["kind"] == "bad"}
    assert set(bad) == {6, 7}, "step 2 comes before any is judged, step 5 is twice as large only"
    assert bad[6]["grad_norm"] > bad[6]["limit"] > 0
    assert len(set(bad[6]["ids"])) == 8
    assert "limit" not in bad[7]
    assert same(weights(job, 5), weights(job, 7))
    assert not same(weights(job, 7), weights(job, 8))
    assert [line["skipped"] for line in lines if line["kind"] == "step"][4:] == [0, 1, 2, 2]


@pytest.mark.parametrize("zero", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_without_outliers_nothing_is_changed(tmp_path, shards, tiny, train_alone, zero):
    """Catches a watch that costs a bit of the weights."""
    given = {"schedule": "constant", "zero": zero, "steps": 5, "clip": 0.05}
    train_alone(tiny(tmp_path / "off", shards, **given))
    train_alone(tiny(tmp_path / "on", shards, **given, outlier=OUTLIER | {"times": 1e6}))
    off, on = (checkpoint.newest(tmp_path / n / "checkpoints") for n in ("off", "on"))
    for name in ("model.safetensors", "ema.safetensors", "state/rank-00000.safetensors"):
        assert same(load_file(off / name), load_file(on / name))
    assert "norms" not in checkpoint.read_trainer(off)
    assert len(checkpoint.read_trainer(on)["norms"]) == 5


def test_resumed_it_decides_alike(tmp_path, monkeypatch, shards, tiny, train_alone, facts):
    """Catches a median that a restart forgets: a run that takes the step it would have skipped."""
    spoil(monkeypatch, {5: 1000.0, 7: 1000.0})
    one, two = tmp_path / "one", tmp_path / "two"
    given = SETTINGS | {"checkpoint_every": 4}
    straight = train_alone(tiny(one, shards, **given))
    shutil.copytree(one, two)
    shutil.rmtree(two / "checkpoints" / checkpoint.name(8))
    again = train_alone(tiny(two, shards, **given))
    assert facts(straight) == facts(again)
    assert [x["step"] for x in again if x["kind"] == "bad"] == [5, 7]
    ends = [checkpoint.newest(out / "checkpoints") for out in (one, two)]
    names = [path.relative_to(ends[0]) for path in checkpoint.files_of(ends[0])]
    assert all((ends[0] / name).read_bytes() == (ends[1] / name).read_bytes() for name in names)


@pytest.mark.slow
def test_all_ranks_decide_alike(tmp_path, shards):
    """Catches ranks of which one skips: they would wait for each other, or end with other weights.

    A limit just above the median skips some steps by themselves.
    """
    outlier = {"times": 1.01, "window": 4, "after": 2}
    given = TINY | SETTINGS | {"outlier": outlier, "max_bad_steps": 50, "steps": 12}
    train_ranks(tmp_path, shards, 2, **given, zero=2)
    end = checkpoint.newest(tmp_path / "checkpoints")
    trainer = checkpoint.read_trainer(end)
    assert checkpoint.step_of(end) == 12
    assert 0 < trainer["counters"]["skipped"] < 12
