"""Sequence parallelism over a torch process group: the collectives that `model.shards` asks for."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Ulysses:
    """Tokens of one sample over the ranks of a group."""

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        self.count = dist.get_world_size(group)
        self.rank = dist.get_rank(group)

    def chunk(self, x: Tensor, dim: int) -> Tensor:
        """The part of this rank."""
        return x.chunk(self.count, dim=dim)[self.rank]

    def gather(self, x: Tensor, dim: int) -> Tensor:
        """All parts, joined."""
        parts: Tensor = _Gather.apply(x, self)
        return torch.cat(list(parts.unbind()), dim=dim)

    def exchange(self, x: Tensor) -> Tensor:
        """Part p to rank p."""
        out: Tensor = _Exchange.apply(x, self.group)
        return out


class _Exchange(torch.autograd.Function):
    """All-to-all is its own transpose."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup | None) -> Tensor:  # noqa: ANN401
        ctx.group = group
        return _all_to_all(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return _all_to_all(grad, ctx.group), None


class _Gather(torch.autograd.Function):
    """Every rank used this rank's part, so its derivative is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ulysses: Ulysses) -> Tensor:  # noqa: ANN401
        ctx.ulysses = ulysses
        x = x.contiguous()
        parts = [torch.empty_like(x) for _ in range(ulysses.count)]
        dist.all_gather(parts, x, group=ulysses.group)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        total = grad.contiguous().clone()
        dist.all_reduce(total, group=ctx.ulysses.group)
        return total[ctx.ulysses.rank], None


def _all_to_all(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    dist.all_to_all_single(out, x.contiguous(), group=group)
    return out
