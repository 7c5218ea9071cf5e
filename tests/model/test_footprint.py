"""Formulae of memory against what torch really keeps."""

from dataclasses import replace

import pytest
import torch

from model.config import SIZES
from model.flops import token_counts
from model.footprint import activations, count_weights, states
from model.geometry import Geometry
from model.mmdit import MMDiT
from tests.model.helpers import make_media

CLIP = Geometry(17, 96, 96, 8.0)
TEXT = 12


def kept_by_torch(config, video, audio) -> int:
    """Elements that autograd holds after a forward pass, each storage once, weights not counted."""
    model = MMDiT(config)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, int] = {}
    alive = []  # else a freed storage's address would come again

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = [v for v in model(video, audio) if v is not None]
    assert all(v.requires_grad for v in out)
    return sum(seen.values())


def kept_by_a_cpu_alone(config, video: int, audio: int) -> int:
    """A CPU has no fused RMS norm, and its attention's output is copied to merge the heads."""
    total = 0
    for media, crosses in ((video, True), (audio, config.text_cross_audio)):
        if media:
            total += 3 * (media + TEXT) + (2 * media + TEXT if crosses else 0)
    if video and audio:
        total += 3 * (video + audio)
    return total * config.width * (config.dual + config.single)


@pytest.mark.parametrize("present", ["both", "video", "audio"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dual": 3, "mlp_ratio": 2, "text_cross_audio": False},
        {"parallel_single": True, "text_refiner": 2},
    ],
)
def test_kept_activations_are_what_torch_keeps(present, changes):
    """Catches a layer whose activations the plan forgets: the run would end out of memory."""
    config = replace(SIZES["tiny"], **changes)
    video, audio = make_media(batch=1, geometry=CLIP, tokens=TEXT, text_dim=384)
    video = None if present == "audio" else video
    audio = None if present == "video" else audio
    tokens = token_counts(config, CLIP)
    there = tokens[0] if video else 0, tokens[1] if audio else 0
    formula = activations(config, *there, TEXT, checkpointed=False)
    formula += kept_by_a_cpu_alone(config, *there)
    assert formula == pytest.approx(kept_by_torch(config, video, audio), rel=0.05)


def test_checkpointing_keeps_token_lists_alone():
    """Catches a formula in which depth still multiplies the inside of blocks."""
    shallow, deep = SIZES["1b"], replace(SIZES["1b"], dual=12, single=24)
    added = [activations(c, 1000, 200, 50, checkpointed=True) for c in (shallow, deep)]
    assert added[1] - added[0] == 18 * (1000 + 50 + 200 + 50) * 1024


def test_weights_are_counted_by_part():
    """Catches weights of one tower that are booked on the other, or not at all."""
    config = SIZES["tiny"]
    found = count_weights(config)
    assert found.total == sum(p.numel() for p in MMDiT(config).parameters())
    smaller = count_weights(replace(config, text_cross_audio=False))
    assert smaller.audio < found.audio
    assert (smaller.video, smaller.exchange) == (found.video, found.exchange)


def test_states_are_shared_out_as_zero_does():
    """Catches a stage that shares what it does not: 18 or 20 bytes a weight, over 8 GPUs."""
    totals = [states(1000, stage, 8).total for stage in range(4)]
    assert totals == [20_000, 4_000 + 2_000, 2_000 + 250 + 2_000, 250 + 250 + 2_000]
    assert states(1000, 0, 8, half=False).total == 24_000
