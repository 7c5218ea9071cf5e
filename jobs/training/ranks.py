"""The few things ranks say to each other. In a process without a group each is the identity."""

from typing import Any

import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """Number of this process, 0 when there is no group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait until every rank is here."""
    if dist.is_initialized():
        dist.barrier()


def total(values: Tensor) -> Tensor:
    """Sum of `values` over all ranks, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def gather(value: Any) -> list[Any]:  # noqa: ANN401 - any small picklable value of our own
    """The value of every rank, in rank order, on every rank."""
    if not dist.is_initialized():
        return [value]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, value)
    return found


def from_first(value: Any) -> Any:  # noqa: ANN401
    """Rank 0's value, on every rank."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
