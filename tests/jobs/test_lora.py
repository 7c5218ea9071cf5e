"""Runs that train adapters beside the weights of another run."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from jobs.config import RecipeError
from jobs.generate import newest_of
from jobs.training import checkpoint
from jobs.training.checkpoint import CheckpointError
from jobs.training.whole import BASE, FILE, usable
from model import lora
from tests.jobs.conftest import TINY
from tests.train_ranks import train_ranks

pytestmark = pytest.mark.usefixtures("alone")
LORA = {"rank": 4, "alpha": 8.0}
SETTINGS = {"lora": LORA, "seed": 5, "lr": 1e-2, "schedule": "constant", "ema": 0.5}


@pytest.fixture(scope="module")
def first(tmp_path_factory, shards, tiny, train_alone, alone):
    out = tmp_path_factory.mktemp("first")
    train_alone(tiny(out, shards, steps=4))
    return out


def last(out):
    return checkpoint.newest(out / "checkpoints")


def masters(step):
    """The trained float32 weights, flat, of one rank's state."""
    (file,) = (step / "state").iterdir()
    kinds = {key: key.split("|") for key in load_file(file)}
    return {
        name: load_file(file)[key] for key, (name, _, kind) in kinds.items() if kind == "master"
    }


def settings(first, **changes):
    return {**SETTINGS, "init": {"path": str(first)}, **changes}


@pytest.mark.parametrize(
    ("zero", "changes"),
    [
        (1, {"dtype": "bfloat16"}),
        (2, {"optimizer": "muon"}),
        pytest.param(0, {}, marks=pytest.mark.slow),
        pytest.param(3, {"recompute": "block"}, marks=pytest.mark.slow),
    ],
)
def test_only_adapters_move(tmp_path, shards, tiny, train_alone, first, zero, changes):
    """Catches a base that is trained too, adapters that are not, and a file that is not what a
    checkpoint's averaged weights are the base and it.
    """
    lines = train_alone(tiny(tmp_path, shards, **settings(first, steps=2, zero=zero, **changes)))
    base, step = load_file(last(first) / "ema.safetensors"), last(tmp_path)
    used = load_file(usable(step) / "ema.safetensors")
    assert used.keys() == base.keys()
    kept = load_file(tmp_path / BASE)
    assert all(torch.equal(kept[name], value) for name, value in base.items())
    own = masters(step)
    assert all(lora.is_adapter(name) for name in own)
    assert all(value.any() for name, value in own.items() if name.endswith(lora.UP))
    assert lines[0]["trained"] == sum(value.numel() for value in own.values())
    adapter = lora.read(step / FILE)
    assert (adapter.rank, adapter.alpha) == (4, 8.0)
    assert adapter.tensors.keys() == own.keys()
    averages = [(adapter.tensors[name].reshape(-1), own[name]) for name in own]
    assert not all(torch.equal(*pair) for pair in averages), "no average"
    for name, value in lora.merged(base, adapter.tensors, 2.0).items():
        torch.testing.assert_close(used[name], value, rtol=0, atol=0)
    held = {name for path in step.rglob("*.safetensors") for name in load_file(path)}
    assert all(lora.is_adapter(name.split("|")[0]) for name in held), "the base again"
    assert not torch.equal(used["blocks.0.audio.stream.up.weight"],
                           base["blocks.0.audio.stream.up.weight"])  # fmt: skip


def test_killed_and_resumed_is_the_same_to_the_bit(tmp_path, shards, tiny, train_alone, first):
    """Catches a base, an adapter, an average or a moment that is lost on the way."""
    one, two = tmp_path / "one", tmp_path / "two"
    given = settings(first, steps=4, checkpoint_every=2, validate_every=3)
    straight = train_alone(tiny(one, shards, **given))
    shutil.copytree(one, two)
    shutil.rmtree(last(two))
    assert last(two).name == "step-00000002"
    again = train_alone(tiny(two, shards, **given))
    curves = [[(x["step"], x["loss"]) for x in lines if "loss" in x] for lines in (straight, again)]
    assert curves[0] == curves[1]
    files = [path.relative_to(last(one)) for path in checkpoint.files_of(last(one))]
    assert len(files) == 4
    for name in files:
        assert (last(one) / name).read_bytes() == (last(two) / name).read_bytes(), name


def test_a_frozen_tower_has_no_adapter(tmp_path, shards, tiny, train_alone, first):
    """Catches adapters that a file carries and no step trains."""
    train_alone(tiny(tmp_path, shards, **settings(first, steps=1, freeze=("audio",))))
    adapter = lora.read(last(tmp_path) / FILE)
    assert adapter.layers
    assert not any(".audio." in name for name in adapter.layers)


def test_another_base_is_refused(tmp_path, shards, tiny, train_alone, first):
    """Catches adapters that go on beside weights they were not trained on, and a base that is lost
    with its file.
    """
    start, out = tmp_path / "start.safetensors", tmp_path / "out"
    shutil.copyfile(last(first) / "ema.safetensors", start)
    job = tiny(out, shards, **settings(start, steps=2))
    train_alone(tiny(out, shards, **settings(start, steps=1)))
    kept = (out / BASE).read_bytes()
    other = {name: value + 1 for name, value in load_file(start).items()}
    save_file(other, out / BASE)
    with pytest.raises(CheckpointError, match=r"is not the base that .*step-00000001 adapts"):
        train_alone(job)
    with pytest.raises(CheckpointError, match="is not the base"):
        newest_of(out / "checkpoints", "checkpoint")
    (out / BASE).write_bytes(kept[:-9])
    with pytest.raises(CheckpointError, match=r"base\.safetensors is damaged"):
        train_alone(job)
    (out / BASE).unlink()
    save_file(other, start)
    with pytest.raises(CheckpointError, match=r"adapts other weights than train\.init\.path gives"):
        train_alone(job)
    shutil.copyfile(last(first) / "ema.safetensors", start)
    train_alone(job)
    assert (out / BASE).read_bytes() == kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora": {"modules": ("blocks.*.qvk",)}},
         r"fits 'blocks\.\*\.qvk'; there are .*blocks\.\*\.video\.stream\.qkv, "),
        ({"init": {}}, "give them with train.init.path"),
        ({"freeze": ("blocks.*",)}, "names every layer"),
    ],
)  # fmt: skip
def test_what_cannot_be_adapted_is_refused(tmp_path, shards, tiny, first, changes, message):
    """Catches a run that adapts nothing, or a base that nobody trained."""
    with pytest.raises(RecipeError, match=message):
        tiny(tmp_path, shards, **settings(first, **changes))


@pytest.mark.slow
def test_any_number_of_ranks(tmp_path, shards, tiny, train_alone, first):
    """Catches an adapter that ZeRO cuts and nobody puts together again."""
    given = {**TINY, **settings(first, zero=3, steps=4)}
    given.pop("seed")
    train_ranks(tmp_path / "two", shards, 2, **given)
    train_alone(tiny(tmp_path / "one", shards, **given))
    found, wanted = (lora.read(last(tmp_path / n) / FILE).tensors for n in ("two", "one"))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
