"""The same run under any ZeRO stage and on any number of ranks, changed in the middle."""

import shutil
from collections import defaultdict

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from jobs.training import checkpoint
from jobs.training.fragments import FragmentError
from jobs.training.log import read
from jobs.training.run import begin
from tests.jobs.conftest import TINY
from tests.train_ranks import train_ranks

pytestmark = pytest.mark.usefixtures("alone")
SETTINGS = {**TINY, "steps": 4, "validate_every": 3, "schedule": "constant"}


def curve(out):
    return [line["loss"] for line in read(out / "metrics.jsonl") if line["kind"] == "step"]


def assembled(folder):
    """Whole parameters and states out of all ranks' fragments."""
    whole = defaultdict(dict)
    for path in sorted(folder.glob("rank-*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a mapping
                name, start, kind = key.split("|")
                whole[name, kind][int(start)] = file.get_tensor(key).reshape(-1)
    return {k: torch.cat([v for _, v in sorted(parts.items())]) for k, parts in whole.items()}


def same(one, two):
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def straight(tmp_path_factory, shards, tiny, train_alone, alone):
    out = tmp_path_factory.mktemp("straight")
    train_alone(tiny(out, shards, **{**SETTINGS, "steps": 12}))
    return out


@pytest.mark.slow
def test_two_ranks_then_one(tmp_path, shards, tiny, train_alone, straight):
    """Catches moments, averages or samples that are lost or swapped with other cuts (R25)."""
    train_ranks(tmp_path, shards, 2, **{**SETTINGS, "steps": 8, "zero": 2})
    train_alone(tiny(tmp_path, shards, **{**SETTINGS, "steps": 12}))
    check_same(tmp_path, straight, [2, 1])


@pytest.mark.parametrize(
    ("zero", "dtype"),
    [(0, "float32"), pytest.param(1, "float32", marks=pytest.mark.slow), (2, "bfloat16")],
)
def test_parts_of_a_batch_make_the_whole(tmp_path, shards, tiny, train_alone, zero, dtype):
    """Catches a part whose gradient is lost, counted twice or divided by the number of parts."""
    found = {}
    for size in (None, 3, 1):
        settings = {**SETTINGS, "validate_every": 0, "zero": zero, "dtype": dtype, "steps": 3}
        settings["micro_batch"] = size
        train_alone(tiny(tmp_path / str(size), shards, **settings))
        found[size] = curve(tmp_path / str(size))
    near = 1e-5 if dtype == "float32" else 1e-2
    assert found[3] == pytest.approx(found[None], rel=near)
    assert found[1] == pytest.approx(found[None], rel=near)


@pytest.mark.slow
@pytest.mark.parametrize(
    "chain", [((2, 2, 4), (1, 3, 8), (3, 1, 12)), ((1, 0, 4), (2, 3, 8), (3, 3, 12))]
)
def test_any_world_and_stage(tmp_path, shards, straight, chain):
    """Catches a stage whose fragments another one does not find."""
    for world, zero, steps in chain:
        settings = {**SETTINGS, "steps": steps, "zero": zero, "micro_batch": steps // 4}
        train_ranks(tmp_path, shards, world, **settings)
    check_same(tmp_path, straight, [world for world, _, _ in chain])


def check_same(out, straight, worlds):
    """The same losses and weights as the run of one rank, but for the order of sums."""
    found, wanted = (
        {(x["kind"], x["step"]): x for x in read(folder / "metrics.jsonl")}
        for folder in (out, straight)
    )
    compared = 0
    for key, line in wanted.items():
        for name in line:
            if name.startswith(("loss", "task", "level", "video", "audio", "grad_norm")):
                assert found[key][name] == pytest.approx(line[name], rel=1e-4), (key, name)
                compared += 1
    assert compared > 100
    ends = [checkpoint.newest(folder / "checkpoints") for folder in (out, straight)]
    for file in ("ema.safetensors", "model.safetensors"):
        found, wanted = (load_file(end / file) for end in ends)
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    starts = [x["workers"] for x in read(out / "metrics.jsonl") if x["kind"] == "start"]
    assert starts == worlds


@pytest.mark.slow
def test_state_is_equal_to_the_bit_under_other_cuts(tmp_path, shards, straight):
    """Catches padding that is read as weights, and a cut that is off by one."""
    first = checkpoint.newest(straight / "checkpoints")
    before = assembled(first / "state")
    assert {kind for _, kind in before} == {
        "master", "average", "exp_avg", "exp_avg_sq", "step:scalar"
    }  # fmt: skip
    for world, zero in ((2, 3), (3, 2), (1, 0)):
        out = tmp_path / f"{world}-{zero}"
        shutil.copytree(straight, out)
        train_ranks(out, shards, world, again="again", **{**SETTINGS, "zero": zero})
        assert len(list((out / "again/state").iterdir())) == world
        same(assembled(out / "again/state"), before)


def test_a_missing_file_is_no_zeros(tmp_path, shards, tiny, straight):
    """Catches a state with holes that loads as if they were zero."""
    shutil.copytree(straight, tmp_path, dirs_exist_ok=True)
    run = begin(tiny(tmp_path, shards, **SETTINGS))
    state = checkpoint.newest(tmp_path / "checkpoints") / "state"
    (file,) = state.iterdir()
    kept = {k: v for k, v in load_file(file).items() if not k.startswith("audio.head.weight|0|exp")}
    save_file(kept, file)
    with pytest.raises(FragmentError, match=r"exp_avg of audio\.head\.weight"):
        run.engine.load(state.parent)
    file.unlink()
    with pytest.raises(FragmentError, match="no training state"):
        run.engine.load(state.parent)
