"""ZeRO's shards in the host's memory: the config that DeepSpeed gets, and the run that it makes."""

import shutil

import pytest
from pydantic import ValidationError

from jobs.training.config import TrainConfig
from jobs.training.engine import deepspeed_config
from jobs.training.log import read
from jobs.training.loop import train_worker


def zero_of(**fields):
    return deepspeed_config(TrainConfig(**fields), 1000)["zero_optimization"]


def test_deepspeed_gets_what_the_recipe_says():
    """Catches a field that no library reads, pages that are pinned on a CPU, or a path that is
    lost.
    """
    assert "offload_optimizer" not in zero_of()
    found = zero_of(zero=2, offload={})
    assert found["offload_optimizer"] == {"device": "cpu", "pin_memory": False}
    assert "offload_param" not in found
    found = zero_of(
        zero=3, device="cuda", offload={"optimizer": "none", "weights": "nvme", "path": "/fast"}
    )
    assert "offload_optimizer" not in found
    assert found["offload_param"] == {
        "device": "nvme", "pin_memory": True, "nvme_path": "/fast"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"zero": 0, "offload": {}}, "needs shards"),
        ({"zero": 2, "offload": {"weights": "cpu"}}, "needs zero=3"),
        ({"zero": 3, "offload": {"weights": "nvme"}}, "path goes with"),
        ({"zero": 3, "offload": {"weights": "cpu", "path": "/fast"}}, "path goes with"),
        ({"offload": {"optimizer": "none"}}, "moves nothing"),
        ({"offload": {}, "optimizer": "muon"}, "is for adamw"),
        ({"offload": {"optimizer": "nvme"}}, "'none' or 'cpu'"),
    ],
)
def test_what_cannot_be_offloaded_is_refused(fields, message):
    """Catches a stage that ignores the setting, and a run that ends in DeepSpeed's own words."""
    with pytest.raises(ValidationError, match=message):
        TrainConfig(**fields)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("zero", "dtype", "offload"),
    [
        (1, "float32", {}),
        pytest.param(2, "bfloat16", {}, marks=pytest.mark.slow),
        pytest.param(3, "float32", {"weights": "cpu"}, marks=pytest.mark.slow),
    ],
)
def test_losses_are_those_of_a_run_without(tmp_path, shards, tiny, zero, dtype, offload):
    """Catches a gradient that is not copied, an average of old weights, a checkpoint that a run
    without offload cannot go on from.
    """
    given = {"zero": zero, "dtype": dtype, "schedule": "constant", "validate_every": 2}
    plain, moved = tmp_path / "plain", tmp_path / "moved"
    train_worker({"job": tiny(plain, shards, steps=4, **given)})
    train_worker({"job": tiny(moved, shards, steps=2, **given, offload=offload)})
    back = shutil.copytree(moved, tmp_path / "back")
    train_worker({"job": tiny(back, shards, steps=4, **given)})
    train_worker({"job": tiny(moved, shards, steps=4, **given, offload=offload)})
    wanted = losses(plain)
    near = 1e-5 if dtype == "float32" else 2e-2
    assert len(wanted) == 6
    assert losses(moved) == pytest.approx(wanted, rel=near)
    assert losses(back) == pytest.approx(wanted, rel=near)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("zero", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_outliers_are_seen_on_the_host_too(tmp_path, shards, tiny, zero):
    """Catches a limit that offload goes around: a step that is taken in one run alone."""
    found = []
    for name, offload in (("plain", None), ("moved", {})):
        outlier = {"times": 1.05, "window": 8, "after": 1}
        given = {"zero": zero, "outlier": outlier, "max_bad_steps": 8, "steps": 5}
        train_worker({"job": tiny(tmp_path / name, shards, **given, offload=offload)})
        lines = read(tmp_path / name / "metrics.jsonl")
        found.append([(line["step"], line["ids"]) for line in lines if line["kind"] == "bad"])
    assert found[0] == found[1] != []


def losses(out):
    return [x["loss"] for x in read(out / "metrics.jsonl") if x["kind"] in ("step", "validation")]
