"""The FLOP formula against torch's own counter."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.config import SIZES
from model.flops import forward_flops, step_flops, token_counts
from model.geometry import Geometry
from model.mmdit import MMDiT
from tests.model.helpers import make_media

FULL = Geometry(17, 64, 64, 8.0)
DONORS = {"parallel_single": True, "text_refiner": 2, "t_channels": 256, "guidance": 6.0}


def counted(config, video, audio, backward: bool = False) -> int:
    """The counter does not know the CPU's fused attention, so it runs as plain products."""
    model = MMDiT(config)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        out = model(video, audio)
        if backward:
            sum(v.sum() for v in out if v is not None).backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("present", ["both", "video", "audio"])
@pytest.mark.parametrize(
    "changes", [{}, {"dual": 2, "text_cross_audio": False, "mlp_ratio": 2}, DONORS]
)
def test_forward_formula_matches_the_counter(present, changes):
    """Catches a formula that drifts from the network: batches would be packed by a wrong cost."""
    config = replace(SIZES["tiny"], **changes)
    video, audio = make_media(geometry=FULL, tokens=12, text_dim=384)
    video = None if present == "audio" else video
    audio = None if present == "video" else audio
    tokens = token_counts(config, FULL)
    formula = 2 * forward_flops(
        config, tokens[0] if video else 0, tokens[1] if audio else 0, text=12
    )
    assert formula == pytest.approx(counted(config, video, audio), rel=0.001)


def test_keyframes_cost_what_video_tokens_cost():
    """Catches a formula that a joint sequence, or a model without sound, does not follow."""
    video, audio = make_media(geometry=FULL, tokens=12, text_dim=384)
    joint = replace(SIZES["tiny"], keyframes=True)
    tokens, sound = token_counts(joint, FULL)
    both = replace(video, keyframes=video)
    formula = 2 * forward_flops(joint, 2 * tokens, sound, text=12)
    assert formula == pytest.approx(counted(joint, both, audio), rel=0.001)
    alone = replace(SIZES["tiny"], sound=False)
    formula = 2 * forward_flops(alone, tokens, 0, text=12)
    assert formula == pytest.approx(counted(alone, video, None), rel=0.001)


@pytest.mark.parametrize("sparse", [0.5, 1.0])
def test_sparse_formula_matches_the_counter(sparse):
    """Catches a sparse model that the stream packs, and the plan shows, at the price of another."""
    clip = Geometry(29, 128, 128, 8.0)  # 8 x 8 x 8 tokens: eight whole cubes
    config = replace(SIZES["tiny"], sparse=sparse)
    video, _ = make_media(geometry=clip, tokens=12, text_dim=384)
    formula = 2 * forward_flops(config, token_counts(config, clip)[0], 0, text=12)
    assert formula == pytest.approx(counted(config, video, None), rel=0.001)


def test_step_is_three_forwards():
    """Catches a backward pass that that costs something else than two forwards."""
    config = SIZES["tiny"]
    media = make_media(geometry=FULL, tokens=12, text_dim=384)
    formula = 2 * step_flops(config, FULL, 12)
    assert formula == pytest.approx(counted(config, *media, backward=True), rel=0.05)


def test_tokens_of_the_demo_clip():
    """Catches a token count that differs from the network's own."""
    assert token_counts(SIZES["tiny"], FULL) == (80, 27)


def test_formula_covers_sizes_no_machine_here_can_run():
    """Catches overflow or a needed instance: 36b at 5 s, 256 px must just be a number."""
    cost = step_flops(SIZES["36b"], Geometry(81, 256, 256, 16.0), 200)
    weights = 36e9
    tokens = 21 * 16 * 16
    assert cost > 6 * tokens * weights / 4
    assert cost < torch.iinfo(torch.int64).max
