"""One token stream, written once: what happens to it before attention, after it, and in its MLP.

A dual-stream block has one stream for media and one for text; a single-stream block runs both
through the same one. Each tower has its own.

Letters: B batch, K tokens, n heads, D head size, W width.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from model.attention import EPS, HeadNorm
from model.config import ModelConfig


@dataclass(frozen=True)
class Modulation:
    """Shift, scale and gate [B,1,W] of the two halves of a block, from t and the pooled text."""

    shift_attention: Tensor
    scale_attention: Tensor
    gate_attention: Tensor
    shift_mlp: Tensor
    scale_mlp: Tensor
    gate_mlp: Tensor


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without weights, then x * (1 + scale) + shift."""
    return torch.addcmul(shift, functional.layer_norm(x, x.shape[-1:], eps=EPS), 1 + scale)


def apart(first: Modulation, count: int, rest: Modulation, total: int) -> Modulation:
    """`first` for the first `count` of `total` tokens and `rest` for the others, [B,total,W]."""
    both = zip(vars(first).values(), vars(rest).values(), strict=True)
    sizes = count, total - count
    joined = [[x.expand(-1, n, -1) for x, n in zip(pair, sizes, strict=True)] for pair in both]
    return Modulation(*(torch.cat(pair, dim=1) for pair in joined))


class Stream(nn.Module):
    """AdaLN, QKV, output projection and MLP of one token list.

    In a `parallel` one attention and MLP read the same normalised tokens and share one modulation
    and one residual, which is added after attention.
    """

    def __init__(self, config: ModelConfig, parallel: bool = False) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.parallel = parallel
        self.modulation = nn.Linear(width, (3 if parallel else 6) * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.norm_query = HeadNorm(config.head_dim)
        self.norm_key = HeadNorm(config.head_dim)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, config.mlp_ratio * width)
        self.down = nn.Linear(config.mlp_ratio * width, width)

    def modulations(self, vector: Tensor) -> Modulation:
        """Modulation from the activated conditioning vector [B,W]."""
        if self.parallel:
            three = self.modulation(vector)[:, None].chunk(3, dim=-1)
            return Modulation(*three, *three)
        return Modulation(*self.modulation(vector)[:, None].chunk(6, dim=-1))

    def pre_attention(self, x: Tensor, by: Modulation) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys (both normalised) and values [B,n,K,D]."""
        qkv = self.qkv(modulate(x, by.shift_attention, by.scale_attention))
        query, key, value = rearrange(
            qkv, "b k (three n d) -> three b n k d", three=3, n=self.heads
        )
        return self.norm_query(query), self.norm_key(key), value

    def post_attention(self, x: Tensor, attended: Tensor, by: Modulation) -> Tensor:
        """Residual of the attention output [B,K,W], of a parallel stream with that of the MLP."""
        out = self.out(attended)
        return torch.addcmul(
            x, by.gate_attention, out + self.hidden(x, by) if self.parallel else out
        )

    def mlp(self, x: Tensor, by: Modulation) -> Tensor:
        """Residual of the MLP; of a parallel stream it is there already."""
        return x if self.parallel else torch.addcmul(x, by.gate_mlp, self.hidden(x, by))

    def hidden(self, x: Tensor, by: Modulation) -> Tensor:
        """What the MLP says of tokens [B,K,W]."""
        up = self.up(modulate(x, by.shift_mlp, by.scale_mlp))
        return self.down(functional.gelu(up, approximate="tanh"))
