"""Adapters beside linear layers: nothing at first, and the same beside them or merged."""

import json

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from model import lora
from model.mmdit import MMDiT
from tests.model.helpers import make_media, make_model

NAMES = ("qkv", "out", "up", "down", "query", "key_value")


def adapted(seed=0):
    """An awake model with adapters in its blocks, and the same without."""
    base, model = make_model(awake=True), make_model(awake=True)
    torch.manual_seed(seed)
    names = [n for n in lora.layers(model) if "blocks" in n and n.endswith(NAMES)]
    lora.add(model, names, rank=4, alpha=8)
    return base, model, names


def fill(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(lora.UP):
                parameter.copy_(torch.randn(parameter.shape) * 0.1)


def velocities(model):
    with torch.no_grad():
        return model(*make_media())[:2]


def adapters(model):
    return {name: t for name, t in model.state_dict().items() if lora.is_adapter(name)}


def test_a_fresh_adapter_is_nothing():
    """Catches an adapter that changes the base before its first step, to the bit."""
    base, model, names = adapted()
    assert len(names) > 20
    for mine, theirs in zip(velocities(base), velocities(model), strict=True):
        assert torch.equal(mine, theirs)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == set(adapters(model))


def test_merged_is_what_stands_beside():
    """Catches a scale or a side that merging takes wrongly."""
    base, model, _ = adapted()
    fill(model)
    plain = MMDiT(base.config)
    plain.load_state_dict(lora.merged(model.state_dict(), model.state_dict(), 2.0))
    moved = 0.0
    for one, two, old in zip(*map(velocities, (model, plain, base)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
        moved += float((one - old).abs().max())
    assert moved > 1e-2


def test_what_does_not_fit_is_named(tmp_path):
    """Catches an adapter of another model that is taken in silence, or half of one."""
    base, model, names = adapted()
    weights, own = base.state_dict(), adapters(model)
    with pytest.raises(ValueError, match=rf"no layer {names[0]}$"):
        lora.merged({n: t for n, t in weights.items() if not n.startswith(names[0])}, own, 1)
    with pytest.raises(ValueError, match=f"{names[0]} is of shape"):
        lora.merged(weights | {f"{names[0]}.weight": torch.zeros(3, 3)}, own, 1)
    with pytest.raises(ValueError, match="there is no"):
        lora.merged(weights, {n: t for n, t in own.items() if n.endswith(lora.DOWN)}, 1)
    file = tmp_path / "a.safetensors"
    save_file(own, file)
    with pytest.raises(ValueError, match="no file of adapters"):
        lora.read(file)
    lora.save(
        file, lora.Adapter(own | {f"{names[0]}{lora.UP}": torch.tensor([torch.nan])}, 4, 8, "")
    )
    with pytest.raises(ValueError, match="has NaN"):
        lora.read(file)


def test_peft_reads_the_file(tmp_path):
    """Catches names, shapes or a header that others do not understand."""
    base, model, names = adapted()
    fill(model)
    file = tmp_path / "adapter.safetensors"
    lora.save(file, lora.Adapter(adapters(model), 4, 8.0, "abc"))
    found = lora.read(file)
    assert (found.rank, found.alpha, found.base) == (4, 8.0, "abc")
    assert found.layers == sorted(names)
    with safe_open(file, "pt") as handle:
        told = json.loads(handle.metadata()[lora.HEADER])
    theirs = inject_adapter_in_model(LoraConfig(**told), base)
    missed = set_peft_model_state_dict(theirs, load_file(file))
    assert not missed.unexpected_keys
    for one, two in zip(velocities(model), velocities(theirs), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_adapters_learn_one_batch():
    """Catches adapters without a gradient, or a base that is trained with them."""
    base, model, _ = adapted()
    inputs, wanted = make_media(), [torch.randn(v.shape) for v in velocities(base)]
    before = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    free = [p for p in model.parameters() if p.requires_grad]
    found = []
    for _ in range(30):
        loss = sum(((v - w) ** 2).mean() for v, w in zip(model(*inputs), wanted, strict=True))
        gradients = torch.autograd.grad(loss, free)
        with torch.no_grad():
            for parameter, gradient in zip(free, gradients, strict=True):
                parameter.sub_(0.01 * gradient.sign())
        found.append(loss.item())
    assert found[-1] < 0.7 * found[0]
    named = dict(model.named_parameters())
    assert all(torch.equal(named[name], value) for name, value in before.items())
