"""Self-attention over text before it enters a tower, as HunyuanVideo's token refiner does.

A frozen causal language model writes features in which early words know nothing of later ones;
these blocks let all words see each other, gated by t and the mean of the text.

Letters: B batch, N text tokens, n heads, D head size, E text channels, W width.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from model.attention import EPS, attend, text_bias
from model.config import ModelConfig

MLP_RATIO = 4  # in every released donor, whatever the blocks' own ratio


class RefinerBlock(nn.Module):
    """Attention and MLP over text, each behind a gate from the conditioning vector."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(width, EPS)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width, EPS)
        self.up = nn.Linear(width, MLP_RATIO * width)
        self.down = nn.Linear(MLP_RATIO * width, width)
        self.gates = nn.Linear(width, 2 * width)

    def forward(self, text: Tensor, vector: Tensor, bias: Tensor) -> Tensor:
        """Text [B,N,W] after this block; vector [B,W], bias [B,1,1,N]."""
        gate_attention, gate_mlp = self.gates(vector)[:, None].chunk(2, dim=-1)
        qkv = self.qkv(self.norm_attention(text))
        query, key, value = rearrange(
            qkv, "b k (three n d) -> three b n k d", three=3, n=self.heads
        )
        text = text + gate_attention * self.out(attend(query, key, value, bias))
        hidden = functional.silu(self.up(self.norm_mlp(text)))
        return text + gate_mlp * self.down(hidden)


class TextRefiner(nn.Module):
    """`config.text_refiner` blocks. Their gates start at zero, so a fresh one changes nothing."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.t_in = nn.Sequential(
            nn.Linear(config.t_channels, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.pooled_in = nn.Sequential(
            nn.Linear(config.text_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.blocks = nn.ModuleList(RefinerBlock(config) for _ in range(config.text_refiner))
        self.kind = nn.Parameter(torch.empty(width))  # a donor's mark of who wrote the text

    def forward(self, text: Tensor, mask: Tensor, mean: Tensor, code: Tensor) -> Tensor:
        """Text [B,N,W], True in mask [B,N] at real tokens; mean [B,E] of features, code of t."""
        vector = functional.silu(self.t_in(code) + self.pooled_in(mean))
        bias = text_bias(mask, 0, text.dtype)
        for block in self.blocks:
            text = block(text, vector, bias)
        return text + self.kind
