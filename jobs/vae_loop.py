"""The training loop that both autoencoders share: optimiser, schedule, averages, resume."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from curation.files import write_bytes
from curation.progress import say

SAVE_EVERY_S = 120.0
TELL_EVERY_S = 60.0
WARM_STEPS = 50
FALL = 0.5  # share of the time over which the learning rate falls to zero
AVERAGE = 0.998  # of the weights that are kept: about the last 500 steps


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal (Jordan et al. 2024), for the weights of the stack.

    It reached the loss of AdamW in about half the steps here, and steps are what a CPU lacks.
    """

    def __init__(self, weights: list[nn.Parameter], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ANN401
        """One step; parameters have two or more axes, the first is the output."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 0.05)
                matrix = weight.grad.lerp(momentum, 0.95).flatten(1)
                update = orthogonal(matrix).view_as(weight)
                gain = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                weight.add_(update, alpha=-group["lr"] * gain)


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values near 1, by five Newton-Schulz steps."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if tall else x


class Trainer:
    """Weights, their running average, two optimisers and the clock; saved and resumed whole."""

    def __init__(
        self, module: nn.Module, stack: list[str], slow: list[str], minutes: float, path: Path
    ) -> None:
        named = dict(module.named_parameters())
        inside = [n for n, p in named.items() if p.ndim >= 2 and n.split(".")[0] in stack]
        linear = [n for n in named if n.split(".")[0] in slow]
        rest = [n for n in named if n not in {*inside, *linear}]
        adam = torch.optim.AdamW(
            [
                {"params": [named[n] for n in rest], "lr": 1e-3},
                {"params": [named[n] for n in linear], "lr": 1e-4},
            ],
            betas=(0.9, 0.99),
            weight_decay=0.0,
        )
        muon = Muon([named[n] for n in inside], 0.01)
        self.module, self.minutes, self.path = module, minutes, path
        self.optimizers: list[torch.optim.Optimizer] = [muon, adam]
        self.rates = [[group["lr"] for group in o.param_groups] for o in self.optimizers]
        self.average = {name: value.detach().clone() for name, value in named.items()}
        self.step, self.spent = 0, 0.0
        self.clip = [named[n] for n in [*rest, *linear]]

    def run(
        self,
        batches: Callable[[int], Tensor],
        loss_of: Callable[[Tensor], tuple[Tensor, float]],
        judge: Callable[[], str],
    ) -> None:
        """Train until `minutes` are spent; `loss_of` gives the loss and a number to show.

        `judge` describes the averaged weights on held-out data. Batches are made one ahead.
        """
        self.resume()
        last = saved = told = time.monotonic()
        shown: list[float] = []
        for batch in ahead(batches, self.step):
            if self.spent >= self.minutes * 60:
                break
            self.set_rates()
            loss, number = loss_of(batch)
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if not math.isfinite(loss.item()):
                raise RuntimeError(f"the loss is {loss.item()} at step {self.step}")
            torch.nn.utils.clip_grad_norm_(self.clip, 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
            self.follow()
            shown.append(number)
            now = time.monotonic()
            self.spent += now - last
            last = now
            if now - told > TELL_EVERY_S:
                with self.averaged():
                    note = judge()
                mean = sum(shown) / len(shown)
                left = self.minutes - self.spent / 60
                say(f"step {self.step}, {left:.1f} min left, train {mean:.3f}, {note}")
                shown, told, last = [], time.monotonic(), time.monotonic()
            if now - saved > SAVE_EVERY_S:
                self.save()
                saved = last = time.monotonic()
        self.save()

    def set_rates(self) -> None:
        """Warm up over 50 steps, hold, then fall to zero over the last half of the time."""
        left = 1 - self.spent / (self.minutes * 60)
        factor = min(1.0, (self.step + 1) / WARM_STEPS, max(left, 0.01) / FALL)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def follow(self) -> None:
        """Move the average towards the weights."""
        self.step += 1
        keep = min(AVERAGE, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self.module.named_parameters():
                self.average[name].lerp_(value, 1 - keep)

    def averaged(self) -> "Averaged":
        """A context in which the module holds the averaged weights."""
        return Averaged(self.module, self.average)

    def save(self) -> None:
        """Write everything that a resumed run needs, atomically."""
        tensors = {f"module.{n}": p.detach() for n, p in self.module.named_parameters()}
        tensors |= {f"average.{n}": p for n, p in self.average.items()}
        for number, optimizer in enumerate(self.optimizers):
            for key, state in optimizer.state_dict()["state"].items():
                tensors |= {f"state.{number}.{key}.{n}": v for n, v in state.items()}
        tensors["clock"] = torch.tensor([self.step, self.spent], dtype=torch.float64)
        write_bytes(self.path, save({n: t.contiguous() for n, t in tensors.items()}))

    def resume(self) -> None:
        """Go on from the saved state, where there is one."""
        if not self.path.is_file():
            return
        tensors = load_file(self.path)
        self.step, self.spent = int(tensors["clock"][0]), float(tensors["clock"][1])
        with torch.no_grad():
            for name, value in self.module.named_parameters():
                value.copy_(tensors[f"module.{name}"])
                self.average[name].copy_(tensors[f"average.{name}"])
        for number, optimizer in enumerate(self.optimizers):
            values = optimizer.state_dict()
            for name, saved in tensors.items():
                if name.startswith(f"state.{number}."):
                    key, field = name.split(".")[2:]
                    values["state"].setdefault(int(key), {})[field] = saved
            optimizer.load_state_dict(values)
        say(f"resumed at step {self.step}, {self.spent / 60:.1f} minutes in")


class Averaged:
    """Swaps averaged weights in, and the trained ones back on the way out."""

    def __init__(self, module: nn.Module, average: dict[str, Tensor]) -> None:
        self.module, self.average = module, average
        self.kept: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        self.kept = {n: p.detach().clone() for n, p in self.module.named_parameters()}
        self._put(self.average)

    def __exit__(self, *_: object) -> None:
        self._put(self.kept)

    def _put(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self.module.named_parameters():
                weight.copy_(values[name])


def ahead(make: Callable[[int], Tensor], start: int) -> Iterator[Tensor]:
    """make(start), make(start + 1), … with the next two made while one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(make, start + k) for k in range(2)]
        step = start + 2
        try:
            while True:
                yield waiting.pop(0).result()
                waiting.append(pool.submit(make, step))
                step += 1
        finally:
            pool.shutdown(cancel_futures=True)


def principal(rows: list[Tensor], weights: list[float], count: int) -> tuple[Tensor, Tensor]:
    """Mean [D] and the first `count` principal directions [D,count] of weighted sets of rows."""
    total = sum(weights)
    mean = torch.stack([w / total * r.mean(0) for w, r in zip(weights, rows, strict=True)]).sum(0)
    scatter = torch.zeros(rows[0].shape[1], rows[0].shape[1])
    for weight, row in zip(weights, rows, strict=True):
        centred = row - mean
        scatter += weight / total * (centred.T @ centred) / len(row)
    _, directions = torch.linalg.eigh(scatter)
    return mean, directions.flip(1)[:, :count]
