"""Coarse-to-fine attention: dense when all is chosen, exact when it is not."""

import pytest
import torch
from torch.nn import functional

from model.geometry import AudioSpec, Geometry, VideoSpec
from model.mmdit import set_share
from model.sparse import SIZE, Heads, cube_attention, cubes, flexed, gathered, share_at
from tests.model.helpers import make_media, make_model, make_reference, with_references

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without")  # on purpose
GRID = 5, 6, 9  # no axis is whole cubes
V = 5 * 6 * 9
START, AFTER = 3, 6  # references before, keyframes and text after


def heads(batch=2, dims=8, dtype=torch.float32, grid=GRID, start=START, after=AFTER) -> Heads:
    g = torch.Generator().manual_seed(1)
    total = start + grid[0] * grid[1] * grid[2] + after
    made = [torch.randn(batch, 2, total, dims, generator=g, dtype=dtype) for _ in range(3)]
    bias = torch.zeros(batch, 1, 1, total, dtype=dtype)
    bias[-1, ..., -2:] = -torch.inf  # padded text
    bias[0, ..., :1] = -torch.inf  # a reference that is not there
    return Heads(*made, bias, start)


def by_mask(h: Heads, chosen: torch.Tensor, grid=GRID) -> torch.Tensor:
    """Dense attention under a mask of tokens: slow, and as plain as it gets."""
    cube = cubes(grid, torch.device("cpu")).place // SIZE
    total = h.query.shape[2]
    allowed = torch.ones(*chosen.shape[:2], total, total, dtype=torch.bool)
    picture = torch.zeros(*chosen.shape[:2], len(cube), len(cube), dtype=torch.bool)
    for b in range(chosen.shape[0]):
        for n in range(chosen.shape[1]):
            for token in range(len(cube)):
                picture[b, n, token] = torch.isin(cube, chosen[b, n, cube[token]])
    inside = slice(h.start, h.start + len(cube))
    allowed[:, :, inside, inside] = picture
    bias = h.bias.masked_fill(~allowed, -torch.inf)
    return functional.scaled_dot_product_attention(h.query, h.key, h.value, attn_mask=bias)


def choice(seed: int, count: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    cubes_there = cubes(GRID, torch.device("cpu")).count
    return torch.rand(2, 2, cubes_there, cubes_there, generator=g).topk(count, dim=-1).indices


def test_cubes_hold_every_token_once():
    """Catches tokens that are lost or counted twice at ragged edges."""
    found = cubes(GRID, torch.device("cpu"))
    assert found.count == 2 * 2 * 3
    assert sorted(found.slots[found.real].tolist()) == list(range(V))
    assert torch.equal(found.slots.flatten()[found.place], torch.arange(V))
    assert found.real.any(1).all()


def test_all_cubes_are_dense_attention():
    """Catches a fine path that is not dense where it reads all."""
    h = heads()
    wanted = functional.scaled_dot_product_attention(h.query, h.key, h.value, attn_mask=h.bias)
    wanted = wanted.transpose(1, 2).flatten(2)
    torch.testing.assert_close(cube_attention(h, GRID, 1.0)[0], wanted, rtol=0, atol=1e-5)
    every = torch.arange(12).expand(2, 2, 12, 12)
    for way in (gathered, flexed):
        with torch.no_grad():
            got = way(h, cubes(GRID, torch.device("cpu")), every).transpose(1, 2).flatten(2)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 11])
def test_chosen_cubes_are_all_that_is_read(count):
    """Catches keys from other cubes, padding that is read, or rest that is not."""
    h, chosen = heads(), choice(count, count)
    wanted = by_mask(h, chosen)
    for way in (gathered, flexed):
        with torch.no_grad():
            got = way(h, cubes(GRID, torch.device("cpu")), chosen)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


def test_the_best_scored_cubes_are_chosen():
    """Catches a choice by anything but the pooled scores."""
    h = heads(batch=1)
    where = cubes(GRID, torch.device("cpu"))
    inside = h.picture(h.key, V)[:, :, where.slots]
    real = where.real[:, :, None]
    mean = [
        (h.picture(x, V)[:, :, where.slots] * real).sum(3) / real.sum(1) for x in (h.query, h.key)
    ]
    assert inside.shape[2] == where.count
    best = (mean[0] @ mean[1].transpose(-1, -2)).topk(3, dim=-1).indices
    fine = by_mask(h, best).transpose(1, 2).flatten(2)
    torch.testing.assert_close(cube_attention(h, GRID, 3 / 12)[0], fine, rtol=0, atol=1e-5)


def test_gradients_are_exact():
    """Catches a wrong derivative of fine or coarse path, in float64."""
    grid, share = (2, 5, 4), 0.5
    h = heads(batch=1, dims=2, dtype=torch.float64, grid=grid, start=1, after=2)

    def both(query, key, value):
        return cube_attention(Heads(query, key, value, h.bias, h.start), grid, share)

    given = [x.clone().requires_grad_() for x in (h.query, h.key, h.value)]
    assert torch.autograd.gradcheck(both, given, atol=1e-6, rtol=1e-4, fast_mode=True)


def test_the_schedule_comes_down_to_its_end():
    """Catches a retrofit that jumps, never ends, or reads nothing."""
    shares = [share_at(step, 0.1) for step in range(0, 1200, 30)]
    assert shares[0] == 1.0
    assert shares[1] == pytest.approx(0.97)
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0.1


CLIP = Geometry(17, 48, 80, 8.0, VideoSpec(channels=4), AudioSpec(channels=6))  # 5 x 3 x 5 tokens


def test_a_model_that_reads_all_cubes_is_the_dense_one():
    """Catches a sparse option that changes a pretrained model before its retrofit begins."""
    dense = make_model(awake=True)
    sparse = make_model(sparse=0.3)
    lacking, strange = sparse.load_state_dict(dense.state_dict(), strict=False)
    assert not strange
    assert all("coarse_gate" in name for name in lacking)
    media = make_media(geometry=CLIP)
    rows = [[make_reference(3, geometry=CLIP)], []]
    for given in (media, with_references(media, rows)):
        wanted = dense(*given)
        set_share(sparse, 1.0)
        for a, b in zip(sparse(*given), wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
        set_share(sparse, 0.3)
        assert not torch.allclose(sparse(*given)[0], wanted[0], atol=1e-3)


def test_every_path_of_a_sparse_model_learns():
    """Catches a gate that stays shut."""
    model = make_model(sparse=0.3)
    video, audio = make_media(geometry=CLIP)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(4):
        optimizer.zero_grad()
        sum((v - 1).square().mean() for v in model(video, audio)).backward()
        optimizer.step()
    gates = [b.video.coarse_gate.weight for b in model.blocks]
    assert all(gate.grad.any() and gate.any() for gate in gates)
