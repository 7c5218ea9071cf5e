"""Every random draw about a sample, as a pure function of (seed, clip_id, visit, purpose).

No global state: a sample meets the same noise, time, task and dropout whatever the number of
workers, the batch it falls in, or the number of restarts. Draws are made on the CPU in float32,
so a GPU run repeats them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """Who draws: a clip at its `visit`-th use under a run's seed."""

    seed: int
    clip_id: str
    visit: int

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh CPU generator; other purposes, visits, clips and seeds give other streams."""
        key = f"{self.seed}|{self.visit}|{purpose}|{self.clip_id}".encode()
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Standard normal noise, float32."""
        return torch.randn(tuple(shape), generator=self.generator(purpose))

    def uniform(self, purpose: str) -> float:
        """One number in 0..1, 1 excluded, with 53 random bits."""
        return float(torch.rand((), generator=self.generator(purpose), dtype=torch.float64))


def normal(draws: Sequence[Draw], purpose: str, shape: Sequence[int]) -> Tensor:
    """Noise [B, *shape], each row its own sample's."""
    return torch.stack([draw.normal(purpose, shape) for draw in draws])


def uniform(draws: Sequence[Draw], purpose: str) -> Tensor:
    """Numbers [B] in 0..1, each its own sample's, float64."""
    return torch.tensor([draw.uniform(purpose) for draw in draws], dtype=torch.float64)
