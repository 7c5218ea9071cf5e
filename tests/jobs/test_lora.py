"""Runs that train adapters beside the weights of another run."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from jobs.config import RecipeError
from jobs.training import checkpoint
from jobs.training.lora import FILE
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
    kept, used = (load_file(step / f"{kind}.safetensors") for kind in ("model", "ema"))
    near = 1e-2 if "dtype" in changes else 0
    assert used.keys() == base.keys()
    for name, value in base.items():
        torch.testing.assert_close(kept[name], value, rtol=near, atol=0)
    own = {name: value for name, value in kept.items() if lora.is_adapter(name)}
    assert set(kept) == set(base) | set(own)
    assert all(value.any() for name, value in own.items() if name.endswith(lora.UP))
    assert lines[0]["trained"] == sum(value.numel() for value in own.values())
    adapter = lora.read(step / FILE)
    assert (adapter.rank, adapter.alpha) == (4, 8.0)
    assert adapter.tensors.keys() == own.keys()
    assert any(not torch.equal(adapter.tensors[name], own[name]) for name in own), "no average"
    plain = {name: kept[name] for name in base}
    for name, value in lora.merged(plain, adapter.tensors, 2.0).items():
        torch.testing.assert_close(used[name], value)
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
    assert len(files) >= 6
    for name in files:
        assert (last(one) / name).read_bytes() == (last(two) / name).read_bytes(), name


def test_a_frozen_tower_has_no_adapter(tmp_path, shards, tiny, train_alone, first):
    """Catches adapters that a file carries and no step trains."""
    train_alone(tiny(tmp_path, shards, **settings(first, steps=1, freeze=("audio",))))
    adapter = lora.read(last(tmp_path) / FILE)
    assert adapter.layers
    assert not any(".audio." in name for name in adapter.layers)


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
    found, wanted = (load_file(last(tmp_path / n) / "model.safetensors") for n in ("two", "one"))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
