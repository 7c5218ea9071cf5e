"""Attention: the one call into the kernel, query-key normalisation, and cross-attention.

Letters: B batch, K query tokens, S key tokens, n heads, D head size, W width = n*D.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from model.rope import Rotation, rotate

EPS = 1e-6


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """softmax(q k' / sqrt(D) + bias) v with heads merged; q [B,n,K,D], bias [B,1,1,S] -> [B,K,W].

    The only place that picks a kernel.
    """
    out = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return rearrange(out, "b n k d -> b k (n d)")


def text_bias(mask: Tensor, media: int, dtype: torch.dtype) -> Tensor:
    """Additive bias [B,1,1,media+N] that hides padded text; mask [B,N] is True at real tokens."""
    return functional.pad(key_bias(mask, dtype), (media, 0))


def key_bias(there: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive bias [B,1,1,S] that hides keys; there [B,S] is True at those to be seen."""
    hidden = torch.zeros_like(there, dtype=dtype).masked_fill(~there, float("-inf"))
    return hidden[:, None, None]


class HeadNorm(nn.Module):
    """RMS norm of each head's queries or keys; keeps attention logits bounded in low precision."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(head_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [..., D]."""
        return functional.rms_norm(x, x.shape[-1:], self.scale, EPS)


class CrossAttention(nn.Module):
    """Tokens read other tokens: x + CA(q=x, kv=other). The output projection starts at zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_x = nn.LayerNorm(width, EPS)
        self.norm_other = nn.LayerNorm(width, EPS)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.norm_query = HeadNorm(width // heads)
        self.norm_key = HeadNorm(width // heads)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,  # [B,K,W]
        other: Tensor,  # [B,S,W]
        rotations: tuple[Rotation, Rotation] | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """What is read, [B,K,W]; the caller adds it."""
        query, key, value = self.heads_of(x, other)
        if rotations is not None:
            query, key = rotate(query, rotations[0]), rotate(key, rotations[1])
        return self.out(attend(query, key, value, bias))

    def heads_of(self, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B,n,K,D], keys and values [B,n,S,D], before any rotation."""
        query = rearrange(self.query(self.norm_x(x)), "b k (n d) -> b n k d", n=self.heads)
        both = self.key_value(self.norm_other(other))
        key, value = rearrange(both, "b s (two n d) -> two b n s d", two=2, n=self.heads)
        return self.norm_query(query), self.norm_key(key), value
