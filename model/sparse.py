"""Sparse attention of the picture: cubes of 4x4x4 tokens, chosen coarsely, read finely.

Video Sparse Attention (arXiv 2505.13389), which SkyReels-V4 §4.5 uses in its refiner: mean-pooled
cubes attend to each other; each cube of queries then reads the tokens of the cubes whose pooled
keys score highest. Output = fine + gate * coarse, the gate a learned projection that starts at
zero, so that a dense model goes on as it was (VSA's way to retrofit). Choosing has no derivative;
the coarse path has, and it teaches what to choose. Text, references and keyframes are read by every
cube and read everything (ours: the VSA paper has picture tokens alone).

`gathered` is plain torch and saves work on any device; `flexed` hands the same blocks to
FlexAttention, which has a kernel on GPUs.

Letters: B batch, n heads, S tokens of the whole sequence, V of them the picture's, R the rest,
M cubes, k chosen cubes, D head size, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

EDGE = 4  # tokens along each axis of a cube
SIZE = EDGE**3
AT_ONCE = 1 << 17  # keys that are gathered at a time, over the cubes of a chunk
Grid = tuple[int, int, int]  # latents, rows and columns of tokens
Fine = Callable[["Heads", "Cubes", Tensor], Tensor]


@dataclass(frozen=True)
class Cubes:
    """Which token stands where; cubes at the far edges may be partly empty."""

    slots: Tensor  # [M,SIZE] token of each place, 0 where there is none
    real: Tensor  # [M,SIZE] bool
    place: Tensor  # [V] place of each token, counted over all cubes

    @property
    def count(self) -> int:
        """M."""
        return len(self.slots)


@dataclass(frozen=True)
class Heads:
    """Rotated queries, keys, values [B,n,S,D] and bias [B,1,1,S]; the picture begins at `start`."""

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor
    start: int

    def picture(self, x: Tensor, tokens: int) -> Tensor:
        """The picture's part of x."""
        return x[..., self.start : self.start + tokens, :]

    def rest(self, x: Tensor, tokens: int) -> Tensor:
        """All but the picture's part of x."""
        return torch.cat([x[..., : self.start, :], x[..., self.start + tokens :, :]], dim=-2)


@lru_cache(maxsize=32)
def cubes(grid: Grid, device: torch.device) -> Cubes:
    """The cubes of a grid of tokens in the order (latent, row, column)."""
    whole = [ceil(n / EDGE) * EDGE for n in grid]
    number = torch.full(whole, -1)
    T, h, w = grid
    number[:T, :h, :w] = torch.arange(T * h * w).view(grid)
    slots = rearrange(number, "(t a) (h b) (w c) -> (t h w) (a b c)", a=EDGE, b=EDGE, c=EDGE)
    real = slots >= 0
    place = torch.empty(T * h * w, dtype=torch.long)
    place[slots[real]] = torch.arange(slots.numel()).view_as(slots)[real]
    return Cubes(*(x.to(device) for x in (slots.clamp_min(0), real, place)))


def chosen_count(share: float, count: int) -> int:
    """How many cubes a cube reads."""
    return min(count, max(1, ceil(share * count)))


def cube_attention(heads: Heads, grid: Grid, share: float) -> tuple[Tensor, Tensor]:
    """Fine output [B,S,W] and the coarse output of the picture's tokens [B,V,W].

    With every cube chosen the fine output is dense attention.
    """
    where = cubes(grid, heads.query.device)
    coarse, scores = coarse_attention(heads, where)
    count = chosen_count(share, where.count)
    if count == where.count:
        fine = functional.scaled_dot_product_attention(
            heads.query, heads.key, heads.value, attn_mask=heads.bias
        )
    else:
        chosen = scores.topk(count, dim=-1).indices  # [B,n,M,k]
        way: Fine = flexed if heads.query.is_cuda else gathered
        fine = way(heads, where, chosen)
    return merge(fine), merge(coarse)


def merge(x: Tensor) -> Tensor:
    """Heads [B,n,S,D] side by side."""
    return rearrange(x, "b n s d -> b s (n d)")


def coarse_attention(heads: Heads, where: Cubes) -> tuple[Tensor, Tensor]:
    """Attention between pooled cubes, spread over their tokens [B,n,V,D]; scores [B,n,M,M]."""
    tokens = len(where.place)
    share = where.real / where.real.sum(1, keepdim=True)  # [M,SIZE]

    def pooled(x: Tensor) -> Tensor:
        inside = heads.picture(x, tokens)[:, :, where.slots]  # [B,n,M,SIZE,D]
        return torch.einsum("bnmsd,ms->bnmd", inside, share.to(x.dtype))

    query, key, value = (pooled(x) for x in (heads.query, heads.key, heads.value))
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    out = scores.softmax(dim=-1) @ value  # [B,n,M,D]
    return out[:, :, where.place // SIZE], scores.detach()


def gathered(heads: Heads, where: Cubes, chosen: Tensor) -> Tensor:
    """Fine attention [B,n,S,D]: chosen cubes' keys laid side by side, for some cubes at a time."""
    tokens = len(where.place)
    B, n, M, _ = chosen.shape
    query, key, value = (blocks(x, heads, where) for x in (heads.query, heads.key, heads.value))
    total = query.shape[2]
    others = torch.arange(M, total, device=chosen.device).expand(B, n, M, -1)
    read = torch.cat([chosen, others], dim=-1).flatten(0, 1)  # [B*n,M,j]: cubes, and all the rest
    first = total * torch.arange(B * n, device=chosen.device)[:, None, None]
    hidden = torch.zeros_like(seen := visible(heads, where), dtype=query.dtype)
    hidden = hidden.masked_fill(~seen, -torch.inf).repeat_interleave(n, dim=0).flatten(0, 1)
    query = query.flatten(0, 1)
    pieces = []
    for some in torch.arange(M, device=chosen.device).split(
        max(1, AT_ONCE // read.shape[2] // SIZE)
    ):
        rows = (
            first + read[:, some]
        ).flatten()  # whole cubes are copied, and their gradients added
        keys, values = (
            x.flatten(3).flatten(0, 2).index_select(0, rows).view(B * n, len(some), -1, x.shape[-1])
            for x in (key, value)
        )  # [B*n,m,j*SIZE,D]
        bias = hidden[rows].view(B * n, len(some), 1, -1)
        pieces.append(
            functional.scaled_dot_product_attention(query[:, some], keys, values, attn_mask=bias)
        )
    fine = torch.cat(pieces, dim=1).flatten(1, 2).unflatten(0, (B, n))  # [B,n,M*SIZE,D]
    rest = functional.scaled_dot_product_attention(
        heads.rest(heads.query, tokens), heads.key, heads.value, attn_mask=heads.bias
    )
    return together(heads, fine[:, :, where.place], rest)


def blocks(x: Tensor, heads: Heads, where: Cubes) -> Tensor:
    """The picture's cubes, then the rest in blocks of the same size, [B,n,M+R/SIZE,SIZE,D]."""
    tokens = len(where.place)
    rest = heads.rest(x, tokens)
    rest = functional.pad(rest, (0, 0, 0, -rest.shape[2] % SIZE)).unflatten(2, (-1, SIZE))
    return torch.cat([heads.picture(x, tokens)[:, :, where.slots], rest], dim=2)


def visible(heads: Heads, where: Cubes) -> Tensor:
    """Which places of the blocks hold a token that may be read, [B,M+R/SIZE,SIZE]."""
    tokens = len(where.place)
    seen = heads.rest(heads.bias.transpose(-1, -2), tokens)[:, 0, :, 0] == 0  # [B,R]
    seen = functional.pad(seen, (0, -seen.shape[1] % SIZE)).unflatten(1, (-1, SIZE))
    return torch.cat([where.real.expand(len(seen), -1, -1), seen], dim=1)


def together(heads: Heads, picture: Tensor, rest: Tensor) -> Tensor:
    """Outputs [B,n,V,D] and [B,n,R,D] in the order of the sequence."""
    return torch.cat([rest[:, :, : heads.start], picture, rest[:, :, heads.start :]], dim=2)


def flexed(heads: Heads, where: Cubes, chosen: Tensor) -> Tensor:
    """The same by FlexAttention: cubes are its blocks, the rest fills further blocks."""
    from torch.nn.attention import flex_attention as flex  # noqa: PLC0415 - imports the compiler

    tokens = len(where.place)
    B, n, M, _ = chosen.shape
    laid = [blocks(x, heads, where) for x in (heads.query, heads.key, heads.value)]
    total = laid[0].shape[2]
    seen = visible(heads, where).flatten(1)
    allowed = torch.ones(B, n, total, total, dtype=torch.bool, device=chosen.device)
    allowed[:, :, :M, :M] = False
    allowed[:, :, :M, :M].scatter_(3, chosen, value=True)

    def may_read(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        return seen[b, kv] & allowed[b, h, q // SIZE, kv // SIZE]

    mask = flex.BlockMask.from_kv_blocks(
        allowed.sum(-1).int(),
        allowed.int().argsort(dim=-1, descending=True, stable=True).int(),
        BLOCK_SIZE=SIZE,
        mask_mod=may_read,
    )
    kernel: Any = compiled(flex.flex_attention) if heads.query.is_cuda else flex.flex_attention
    out = kernel(*(x.flatten(2, 3) for x in laid), block_mask=mask)
    rest = out[:, :, M * SIZE : M * SIZE + heads.query.shape[2] - tokens]
    return together(heads, out[:, :, where.place], rest)


@lru_cache(maxsize=1)
def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """FlexAttention as one kernel."""
    return torch.compile(function)


def share_at(step: int, final: float, by: float = 0.03, every: int = 30) -> float:
    """Share of the cubes at an optimizer step of a retrofit: from all of them down to `final`.

    FastVideo's recipe: sparsity up by 0.03 every 30 steps.
    """
    return max(final, 1 - by * (step // every))
