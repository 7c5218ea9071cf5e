"""Activation checkpointing: the same numbers, less kept, attention run as often as promised."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from model.recompute import ATTENTION
from tests.model.helpers import make_media, make_model, make_reference, with_references


class Counting(TorchDispatchMode):
    """How often fused attention runs forward."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += func._schema.name.removeprefix("aten::") in ATTENTION
        return func(*args, **(kwargs or {}))


def step(mode: str, **changes):
    """Outputs, gradients and attention calls of one forward and backward pass."""
    model = make_model(awake=True, dual=1, single=2, **changes)
    model.recompute = mode
    media = with_references(make_media(), [[make_reference(3)], []])
    with Counting() as counting:
        out = model(*media)
        sum((v - 1).square().mean() for v in out).backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    return out, grads, counting.calls


@pytest.mark.parametrize("mode", ["block", "selective"])
@pytest.mark.parametrize("changes", [{}, {"sparse": 0.5}])
def test_gradients_are_bit_for_bit_the_same(mode, changes):
    """Catches a block that is not the same the second time: a changed state, a lost argument."""
    plain, again = step("none", **changes), step(mode, **changes)
    for a, b in zip(plain[0], again[0], strict=True):
        assert torch.equal(a, b)
    for name, grad in plain[1].items():
        assert (grad is None) == (again[1][name] is None)
        assert grad is None or torch.equal(grad, again[1][name]), name


def test_attention_runs_as_often_as_promised():
    """Catches checkpointing that keeps everything, or selective that runs attention again."""
    once = step("none")[2]
    assert once == 3 * 6  # joint attention, text and the exchange, in both towers
    assert step("block")[2] == 2 * once
    assert step("selective")[2] == once


@pytest.mark.slow
def test_a_compiled_block_is_one_graph_with_the_same_numbers():
    """Catches a block that breaks the graph: `train.compile` would give little and hide why.

    By tracing alone (aot_eager): what a GPU's compiler makes of the graph is not tested here.
    """
    model = make_model(awake=True)
    plain = model(*make_media())
    for block in model.blocks:
        block.compile(backend="aot_eager", fullgraph=True)
    for a, b in zip(model(*make_media()), plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
