"""The arithmetic of base, keyframes and refiner."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.config import SIZES
from model.flops import forward_flops, token_counts
from model.geometry import Geometry
from model.mmdit import MMDiT
from model.route import Plan, passes
from tests.model.helpers import make_media

PLAN = Plan(
    low=Geometry(241, 480, 848, 16.0),
    high=Geometry(481, 1088, 1920, 32.0),
    keyframes=15,
    text=256,
    share=0.1,
    steps=50,
    refiner_steps=8,
)


@pytest.mark.slow
def test_the_largest_clip_on_the_meta_device_costs_what_the_formula_says():
    """Catches a formula that fits small clips only: 36b, 1080p, 15 s, 32 fps, without memory."""
    config = replace(SIZES["36b"], dual=1, single=1)
    clip = PLAN.high
    with torch.device("meta"):
        model = MMDiT(config)
        shape = 1, *clip.video_shape
        latent, t = torch.empty(shape), torch.empty(1)
        text, mask = torch.empty(1, 256, 384), torch.empty(1, 256, dtype=torch.bool)
    media, _ = make_media(batch=1)
    video = replace(
        media,
        latent=latent,
        times=clip.video_times().to("meta"),
        t=t,
        text=text,
        text_mask=mask,
        condition=latent,
        mask=torch.empty(1, 1, *shape[2:], device="meta"),
    )
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(video, None)
    tokens, _ = token_counts(config, clip)
    assert tokens == 121 * 68 * 120
    assert counter.get_total_flops() == forward_flops(config, tokens, 0, 256)


def test_the_route_counts_every_token():
    """Catches keyframes or frames that are not counted, or sound that is refined."""
    whole, base, dense, sparse = passes(SIZES["8b"], PLAN)
    assert whole.video == dense.video == sparse.video == 121 * 68 * 120
    assert base.video == 61 * 30 * 53 + 15 * 68 * 120
    assert (whole.audio, base.audio) == (token_counts(SIZES["8b"], PLAN.high)[1],) * 2
    assert (dense.audio, sparse.audio) == (0, 0)
    assert base.sampling + sparse.sampling < 0.1 * whole.sampling
