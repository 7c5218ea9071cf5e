"""Clips of a base with adapters on it."""

import pytest
import torch

from benchmarks.random_shards import make_set
from curation.files import write_text
from jobs.config import RESOLVED, Recipe, RecipeError, recipe_text
from jobs.exporting import folder
from jobs.generate import newest_of, run
from jobs.generate_config import GenerateConfig
from jobs.generate_lora import adapters, with_adapters
from jobs.training import checkpoint
from jobs.training.loop import train_worker
from jobs.training.whole import usable
from tests.embedded_vaes import save_vaes, with_vaes

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """A base and a run that adapts it."""
    root = tmp_path_factory.mktemp("lora")
    vaes = save_vaes(root / "vaes")
    shards = root / "shards"
    make_set(shards, {9: 20}, size=32, channels=16, text_dim=384, val=3)
    train_worker({"job": with_vaes(tiny(root / "base", shards, steps=2), vaes)})
    more = {"steps": 3, "lr": 0.1, "init": {"path": str(root / "base")}, "lora": {"rank": 2}}
    train_worker({"job": with_vaes(tiny(root / "more", shards, **more), vaes)})
    return root


def make(root, base="base", words=(), **fields):
    """The bytes of the clip that is asked for."""
    config = GenerateConfig(prompt="a red ball", count=1, steps=2, **fields)
    code = run(Recipe(name="tiny", out=root / base, generate=config), list(words))
    assert code == 0
    return max((root / base / "clips").glob("*.mp4"), key=lambda path: path.stat().st_mtime_ns)


def weights(root, run):
    step = usable(checkpoint.newest(root / run / "checkpoints"))
    return checkpoint.read_weights(step).tensors


def test_merged_weights_are_those_of_the_run(trained, capfd):
    """Catches a scale that is lost, and other weights below an adapter without a word."""
    base, whole = weights(trained, "base"), weights(trained, "more")
    once, none = (
        with_adapters(base, adapters(GenerateConfig(lora=f"{trained / 'more'}{scale}")))
        for scale in ("", "@0")
    )
    assert once.keys() == whole.keys()
    assert all(torch.equal(once[name], whole[name]) for name in whole)
    assert all(torch.equal(none[name], base[name]) for name in base)
    assert not all(torch.equal(whole[name], base[name]) for name in base)
    step = checkpoint.newest(trained / "more/checkpoints")
    halves = adapters(GenerateConfig(lora=(f"{step}@0.5", f"{step / 'adapter.safetensors'}@0.5")))
    for name, value in with_adapters(base, halves).items():
        torch.testing.assert_close(value, whole[name])
    assert "other weights" not in capfd.readouterr().err
    with_adapters(whole, halves)
    assert "was trained on other weights" in capfd.readouterr().err


@pytest.mark.slow
def test_base_and_adapters_make_the_clip_of_the_run(trained):
    """Catches adapters that are left out of a request, or of its name and json."""
    plain, whole = make(trained), make(trained, "more")
    both = make(trained, lora=f"{trained / 'more'}")
    assert both.read_bytes() == whole.read_bytes()
    assert both.read_bytes() != plain.read_bytes()
    card = both.with_suffix(".json")
    assert make(trained, words=[str(card)], lora=str(trained / "more")) == both
    with pytest.raises(RecipeError, match=r"set generate\.lora as it was"):
        make(trained, words=[str(card)])


def test_an_export_has_base_and_adapters(trained):
    """Catches an export of adapters that needs the run beside it."""
    recipe = Recipe(name="tiny", out=trained / "more")
    write_text(recipe.out / RESOLVED, recipe_text(recipe))
    step = newest_of(folder.write(recipe).folder, "checkpoint")
    assert step.parents[1].name == "exports"
    wanted, found = weights(trained, "more"), checkpoint.read_weights(step).tensors
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert adapters(GenerateConfig(lora=str(step)))[0].path == step / "adapter.safetensors"


def test_what_is_no_adapter_is_refused(trained):
    """Catches a base taken for an adapter."""
    with pytest.raises(RecipeError, match=r"was .*base trained with train\.lora"):
        adapters(GenerateConfig(lora=str(trained / "base")))
    with pytest.raises(RecipeError, match=r"generate\.lora: .* holds no checkpoint"):
        adapters(GenerateConfig(lora="nowhere"))
