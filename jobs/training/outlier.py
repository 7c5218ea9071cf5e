"""Steps whose gradient is far larger than those before it: judged by one number that every rank
has, inside the check for NaN and Inf.

The limit is a multiple of the median norm of the steps last taken. A median and not a mean: one
spike that passes does not raise it. What was skipped is not counted in, so a run whose gradients
stay large is not adapted to but stopped, by `max_bad_steps`.
"""

import math
from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from jobs.training.outlier_config import OutlierConfig


class Watch:
    """The norms of the steps last taken; a checkpoint keeps them."""

    def __init__(self, config: OutlierConfig, norms: Iterable[float] = ()) -> None:
        self.config = config
        self.norms = deque(norms, maxlen=config.window)

    def limit(self) -> float:
        """The largest norm that is taken; infinite until enough is known."""
        if len(self.norms) < self.config.after:
            return math.inf
        return self.config.times * median(self.norms)

    def taken(self, norm: float) -> None:
        """Remember the norm of a step."""
        self.norms.append(norm)


class Guard:
    """Makes a ZeRO optimizer of DeepSpeed take a norm above `limit` for Inf, which it skips.

    It compares on the device, so nothing waits for it, and leaves a norm that passes as it is.
    """

    def __init__(self, optimizer: Any, stage: int) -> None:  # noqa: ANN401 - untyped
        self.limit = math.inf
        self.norm: Tensor | float = math.inf
        if stage == 3:
            groups = optimizer._get_norm_groups
            optimizer._get_norm_groups = lambda: self.judged(groups())
        else:
            whole = optimizer.scaled_global_norm
            optimizer.scaled_global_norm = lambda *given, **more: self.judged(
                [whole(*given, **more)]
            )[0]

    def watch(self, limit: float) -> None:
        """Set the limit of the next step."""
        self.limit, self.norm = limit, math.inf

    def judged(self, norms: list[Tensor]) -> list[Tensor]:
        """The norms of parts of the gradient, Inf where that of the whole is above the limit."""
        self.norm = torch.linalg.vector_norm(torch.stack(norms))
        # DeepSpeed marks a part that is not finite with -1
        broken = torch.stack(norms).min() < 0
        self.norm = torch.where(broken, math.inf, self.norm)
        return [torch.where(self.norm > self.limit, math.inf, norm) for norm in norms]
