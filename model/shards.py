"""Sequence parallelism: the picture's tokens lie on several ranks, attention's heads do the rest.

DeepSpeed-Ulysses (arXiv 2309.14509): each rank holds a share of the picture's tokens through norms,
projections and MLPs. Around attention an all-to-all exchanges that for all tokens of a share of
the heads, and back. Text and sound, which are short, are whole on every rank; of their heads, too,
each rank takes its share and gathers the answers.

Outputs are whole on every rank. Averaged over the ranks, gradients are those of one rank alone.

Letters: P ranks, B batch, n heads, K tokens of the picture, N of text, D head size.
"""

from typing import Protocol

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from model.attention import CrossAttention
from model.rope import Rotation, rotate


class Shards(Protocol):
    """What ranks do together; the process group is the caller's."""

    count: int  # P

    def chunk(self, x: Tensor, dim: int) -> Tensor:
        """The part of x that is this rank's; x is the same on every rank."""

    def gather(self, x: Tensor, dim: int) -> Tensor:
        """All ranks' parts, joined; its derivative sums over ranks."""

    def exchange(self, x: Tensor) -> Tensor:
        """Part p of x [P,...] goes to rank p; the parts that came, by rank."""


def check(shards: Shards, tokens: int, heads: int) -> None:
    """Raises ValueError unless tokens and heads can be shared out evenly."""
    if tokens % shards.count or heads % shards.count:
        raise ValueError(
            f"{tokens} picture tokens and {heads} heads must be multiples of {shards.count} ranks"
        )


def to_heads(shards: Shards, x: Tensor) -> Tensor:
    """[B,n,K/P,D] of this rank's tokens to [B,n/P,K,D] of its heads."""
    parts = rearrange(x, "b (p n) k d -> p b n k d", p=shards.count)
    return rearrange(shards.exchange(parts), "p b n k d -> b n (p k) d")


def to_tokens(shards: Shards, x: Tensor) -> Tensor:
    """[B,n/P,K,D] of this rank's heads to [B,n,K/P,D] of its tokens."""
    parts = rearrange(x, "b n (p k) d -> p b n k d", p=shards.count)
    return rearrange(shards.exchange(parts), "p b n k d -> b (p n) k d")


def joint_attention(
    shards: Shards,
    heads: tuple[Tensor, Tensor, Tensor],
    text: int,
    rotation: Rotation,
    bias: Tensor,
) -> Tensor:
    """Attention [B,K/P+N,W] of query, key, value [B,n,K/P+N,D]; rotation and bias are of K+N."""

    def whole(x: Tensor) -> Tensor:
        media, words = x.split([x.shape[2] - text, text], dim=2)
        return torch.cat([to_heads(shards, media), shards.chunk(words, 1)], dim=2)

    query, key, value = (whole(x) for x in heads)
    query, key = rotate(query, rotation), rotate(key, rotation)
    out = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    media, words = out.split([out.shape[2] - text, text], dim=2)
    out = torch.cat([to_tokens(shards, media), shards.gather(words, 1)], dim=2)
    return rearrange(out, "b n k d -> b k (n d)")


def read(
    shards: Shards,
    attention: CrossAttention,
    reader: Tensor,
    source: Tensor,
    rotations: tuple[Rotation, Rotation],
) -> Tensor:
    """What whole tokens read of tokens that are shared out."""
    query, key, value = attention.heads_of(reader, source)
    query = rotate(shards.chunk(query, 1), rotations[0])
    key, value = rotate(to_heads(shards, key), rotations[1]), to_heads(shards, value)
    out = functional.scaled_dot_product_attention(query, key, value)
    return attention.out(rearrange(shards.gather(out, 1), "b n k d -> b k (n d)"))
