"""Clips of a base with adapters on it."""

import pytest

from benchmarks.random_shards import make_set
from jobs.config import Recipe, RecipeError
from jobs.generate import run
from jobs.generate_config import GenerateConfig
from jobs.training import checkpoint
from jobs.training.loop import train_worker
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


def test_base_and_adapters_are_what_was_trained(trained):
    """Catches adapters that are left out, scaled wrongly or taken for other ones."""
    plain, whole = make(trained), make(trained, "more")
    both = make(trained, lora=f"{trained / 'more'}")
    assert both.read_bytes() == whole.read_bytes()
    assert both.read_bytes() != plain.read_bytes()
    assert make(trained, lora=f"{trained / 'more'}@0").read_bytes() == plain.read_bytes()
    step = checkpoint.newest(trained / "more/checkpoints")
    halves = [f"{step}@0.5", f"{step / 'adapter.safetensors'}@0.5"]
    assert len({make(trained, lora=halves).name, both.name, plain.name}) == 3
    card = both.with_suffix(".json")
    assert make(trained, words=[str(card)], lora=str(trained / "more")) == both
    with pytest.raises(RecipeError, match=r"set generate\.lora as it was"):
        make(trained, words=[str(card)])


def test_what_is_no_adapter_of_the_base_is_refused(trained, capfd):
    """Catches a base taken for an adapter, and other weights below one without a word."""
    with pytest.raises(RecipeError, match=r"was .*base trained with train\.lora"):
        make(trained, lora=str(trained / "base"))
    with pytest.raises(RecipeError, match="holds no checkpoint"):
        make(trained, lora="nowhere")
    assert "other weights" not in capfd.readouterr().err
    make(trained, "more", lora=str(trained / "more"))
    assert "was trained on other weights" in capfd.readouterr().err
