"""An independent reading: the same mathematics in diffusers, its weights copied, its numbers ours.

Copies are spelled out here, apart from `model/donors.py`, so that an error there is not made twice.
"""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.models.embeddings import apply_rotary_emb, get_timestep_embedding
from diffusers.models.normalization import AdaLayerNormContinuous, AdaLayerNormZero, RMSNorm
from diffusers.models.transformers.transformer_hunyuan_video import (
    HunyuanVideoRotaryPosEmbed,
    HunyuanVideoTransformerBlock,
)
from diffusers.models.transformers.transformer_ltx2 import apply_split_rotary_emb
from torch.nn import functional

from model import flow
from model.attention import HeadNorm, text_bias
from model.config import ModelConfig
from model.rope import Rotation, rotate, rotation, time_rotation, video_rotation
from model.stream import Stream, modulate
from model.tower import State, Tower, TowerBlock, sinusoids

NEAR = {"rtol": 0, "atol": 1e-5}
HEADS, SIZE = 2, 16
WIDTH = HEADS * SIZE
AXES = 4, 6, 6
BASE = 256.0
CONFIG = ModelConfig(
    width=WIDTH, heads=HEADS, dual=1, single=1, rope_split=AXES, rope_base=BASE, text_dim=8
)
GRID = 3, 2, 4  # latents, rows, columns
TOKENS, TEXT = 24, 5
# channel i of a head of ours is this one of theirs: our rotary pairs are half a head apart
ORDER = torch.tensor([*range(0, SIZE, 2), *range(1, SIZE, 2)])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def our_rotation() -> Rotation:
    return video_rotation(torch.arange(GRID[0]).double(), *GRID[1:], SIZE, AXES, BASE)


def their_rotation() -> tuple[torch.Tensor, torch.Tensor]:
    return HunyuanVideoRotaryPosEmbed(1, 1, list(AXES), BASE)(torch.zeros(1, 1, *GRID))


@torch.no_grad()
def copy_linear(ours: torch.nn.Linear, *theirs: torch.nn.Linear, turned: int = 0) -> None:
    """Stack layers into one; query and key, the first `turned`, in our order of channels."""
    rows = torch.cat([head * SIZE + ORDER for head in range(HEADS)])
    for name in ("weight", "bias"):
        parts = [getattr(layer, name) for layer in theirs]
        parts = [part[rows] if i < turned else part for i, part in enumerate(parts)]
        getattr(ours, name).copy_(torch.cat(parts))


@torch.no_grad()
def copy_stream(ours: Stream, norm, qkv, norms, out, ff) -> None:
    copy_linear(ours.modulation, norm.linear)
    copy_linear(ours.qkv, *qkv, turned=2)
    ours.norm_query.scale.copy_(norms[0].weight[ORDER])
    ours.norm_key.scale.copy_(norms[1].weight[ORDER])
    copy_linear(ours.out, out)
    copy_linear(ours.up, ff.net[0].proj)
    copy_linear(ours.down, ff.net[2])


def test_a_joint_block_is_hunyuan_videos():
    """Catches a block that differs from the published one: order of modulation, gates, masks,
    normalised queries, rotation of media alone."""
    theirs = HunyuanVideoTransformerBlock(HEADS, SIZE, mlp_ratio=4.0)
    for name, parameter in theirs.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("norm_" in name), std=0.15)
    ours, attn = TowerBlock(CONFIG, dual=True, text_cross=False), theirs.attn
    copy_stream(
        ours.stream,
        theirs.norm1,
        (attn.to_q, attn.to_k, attn.to_v),
        (attn.norm_q, attn.norm_k),
        attn.to_out[0],
        theirs.ff,
    )
    copy_stream(
        ours.text_stream,
        theirs.norm1_context,
        (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj),
        (attn.norm_added_q, attn.norm_added_k),
        attn.to_add_out,
        theirs.ff_context,
    )
    media, text = torch.randn(2, TOKENS, WIDTH), torch.randn(2, TEXT, WIDTH)
    vector = torch.randn(2, WIDTH)
    mask = torch.arange(TEXT) < torch.tensor([[TEXT], [TEXT - 2]])
    seen = torch.cat([torch.ones(2, TOKENS, dtype=torch.bool), mask], dim=1)[:, None, None]
    with torch.no_grad():
        wanted = theirs(media, text, vector, seen, their_rotation())
        state = State(
            media=media,
            text=text,
            vector=functional.silu(vector),
            rotation=our_rotation().pad(TEXT),
            rotation_time=time_rotation(torch.zeros(TOKENS), SIZE, BASE),
            bias=text_bias(mask, TOKENS, torch.float32),
        )
        by = ours.modulations(state)
        got = ours.mlp(ours.attention(state, by), by)
    assert (wanted[0] - media).abs().max() > 0.1, "a closed gate compares nothing"
    torch.testing.assert_close(got.media, wanted[0], **NEAR)
    torch.testing.assert_close(got.text, wanted[1], **NEAR)


def test_rotary_positions_are_hunyuan_videos():
    """Catches axes in another order, another split of the head, another base or direction."""
    x = torch.randn(1, HEADS, TOKENS, SIZE)
    wanted = apply_rotary_emb(x, their_rotation())
    torch.testing.assert_close(rotate(x[..., ORDER], our_rotation()), wanted[..., ORDER], **NEAR)


def test_rotating_halves_is_ltx_2s():
    """Catches pairs that are turned the wrong way."""
    x, angle = torch.randn(1, HEADS, TOKENS, SIZE), torch.randn(TOKENS, SIZE // 2)
    wanted = apply_split_rotary_emb(x, (angle.cos()[None, None], angle.sin()[None, None]))
    torch.testing.assert_close(rotate(x, rotation(angle)), wanted, **NEAR)


def test_adaln_is_theirs():
    """Catches shift and scale exchanged, another epsilon, or an activation too many."""
    theirs, ours = AdaLayerNormZero(WIDTH), Stream(CONFIG)
    copy_linear(ours.modulation, theirs.linear)
    x, vector = torch.randn(2, TOKENS, WIDTH), torch.randn(2, WIDTH)
    with torch.no_grad():
        wanted, *others = theirs(x, emb=vector)
        by = ours.modulations(functional.silu(vector))
        got = modulate(x, by.shift_attention, by.scale_attention)
    torch.testing.assert_close(got, wanted, **NEAR)
    mine = [by.gate_attention, by.shift_mlp, by.scale_mlp, by.gate_mlp]
    for a, b in zip(mine, others, strict=True):
        torch.testing.assert_close(a[:, 0], b, **NEAR)


def test_the_heads_adaln_is_theirs_with_the_halves_exchanged():
    """Catches an importer's misreading: (scale, shift) there, (shift, scale) here."""
    theirs = AdaLayerNormContinuous(WIDTH, WIDTH, elementwise_affine=False, eps=1e-6)
    tower = Tower(CONFIG, 4, WIDTH)
    x, vector = torch.randn(2, TOKENS, WIDTH), torch.randn(2, WIDTH)
    with torch.no_grad():
        tower.head.weight.copy_(torch.eye(WIDTH))
        tower.head.bias.zero_()
        for name in ("weight", "bias"):
            halves = getattr(theirs.linear, name).chunk(2)
            getattr(tower.head_modulation, name).copy_(torch.cat(halves[::-1]))
        turn = time_rotation(torch.zeros(TOKENS), SIZE, BASE)
        nothing = torch.zeros(2, 0, WIDTH)
        state = State(x, nothing, functional.silu(vector), turn, turn, torch.zeros(2, 1, 1, TOKENS))
        torch.testing.assert_close(tower.output(state), theirs(x, vector), **NEAR)


def test_head_norm_is_their_rms_norm():
    """Catches another epsilon or a norm over other channels."""
    theirs, ours = RMSNorm(SIZE, eps=1e-6), HeadNorm(SIZE)
    x = torch.randn(2, HEADS, TOKENS, SIZE) * 1e-3
    with torch.no_grad():
        theirs.weight.normal_()
        ours.scale.copy_(theirs.weight)
        torch.testing.assert_close(ours(x), theirs(x), **NEAR)


def test_the_code_of_t_is_theirs():
    """Catches other frequencies; at 1000 radians float32 itself is off by 6e-5."""
    t = torch.tensor([0.0, 0.25, 0.7, 1.0])
    wanted = get_timestep_embedding(1000 * t, 128, flip_sin_to_cos=True, downscale_freq_shift=0)
    torch.testing.assert_close(sinusoids(t, 128), wanted, rtol=0, atol=2e-4)
    torch.testing.assert_close(sinusoids(t[:2], 128), wanted[:2], **NEAR)


def test_noise_levels_and_loss_are_theirs():
    """Catches a path from noise to data of another shape, or a target of another sign or size."""
    scheduler = FlowMatchEulerDiscreteScheduler()
    clean, noise = torch.randn(3, 4, 2, 3, 3), torch.randn(3, 4, 2, 3, 3)
    steps = scheduler.timesteps[torch.tensor([10, 500, 990])]
    t = 1 - steps / 1000
    noisy = scheduler.scale_noise(clean, steps, noise)
    torch.testing.assert_close(flow.interpolate(clean, noise, t), noisy, **NEAR)
    answer = torch.randn_like(clean)  # what a model of theirs might say
    theirs = functional.mse_loss(answer, noise - clean, reduction="none").flatten(1).mean(1)
    torch.testing.assert_close(flow.loss(-answer, flow.velocity(clean, noise)), theirs, **NEAR)
    scheduler.set_timesteps(1)
    moved = scheduler.step(noise - clean, scheduler.timesteps[0], noise).prev_sample
    torch.testing.assert_close(moved, noise + flow.velocity(clean, noise), **NEAR)
