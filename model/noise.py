"""Every random draw about a sample, as a pure function of (seed, clip_id, visit, purpose).

No global state: a sample meets the same noise, time, task and dropout whatever the number of
workers, the batch it falls in, or the number of restarts. Draws are made on the CPU in float32,
so a GPU run repeats them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """Who draws: a clip at its `visit`-th use under a run's seed."""

    seed: int
    clip_id: str
    visit: int

    def generator(self, purpose: str) -> np.random.Generator:
        """A fresh generator; other purposes, visits, clips and seeds give other streams.

        Philox with a 128-bit key: torch's CPU generator keeps 32 bits of its seed, so that a
        million draws would hold a hundred pairs with equal noise.
        """
        key = f"{self.seed}|{self.visit}|{purpose}|{self.clip_id}".encode()
        digest = hashlib.blake2b(key, digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "big")))

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Standard normal noise, float32."""
        drawn = self.generator(purpose).standard_normal(tuple(shape), dtype=np.float32)
        return torch.from_numpy(drawn)

    def uniform(self, purpose: str) -> float:
        """One number in 0..1, 1 excluded, with 53 random bits."""
        return float(self.generator(purpose).random())


def normal(draws: Sequence[Draw], purpose: str, shape: Sequence[int]) -> Tensor:
    """Noise [B, *shape], each row its own sample's."""
    return torch.stack([draw.normal(purpose, shape) for draw in draws])


def uniform(draws: Sequence[Draw], purpose: str) -> Tensor:
    """Numbers [B] in 0..1, each its own sample's, float64."""
    return torch.tensor([draw.uniform(purpose) for draw in draws], dtype=torch.float64)
