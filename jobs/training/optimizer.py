"""AdamW or Muon over the trained parameters, and the learning rate of each step."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from jobs.training.config import TrainConfig


def rate(config: TrainConfig, step: int) -> float:
    """Learning rate of optimizer step `step`, counted from 0; a pure function of the recipe."""
    if step < config.warmup:
        return config.lr * (step + 1) / (config.warmup + 1)
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    done = min(1.0, done)
    fall = {
        "constant": 1.0,
        "linear": 1 - done,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
    }[config.schedule]
    if config.schedule == "constant":
        return config.lr
    return config.lr * (config.final_lr + (1 - config.final_lr) * fall)


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, or Muon for the matrices inside blocks and AdamW for the rest.

    Matrices decay, vectors (gains, biases) do not.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    muon = {n for n in named if config.optimizer == "muon" and is_hidden_matrix(n, named[n])}
    rest = [p for name, p in named.items() if name not in muon]
    adam = {"lr": config.lr, "betas": config.betas}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay, **adam},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0, **adam},
    ]
    groups = [group for group in groups if group["params"]]
    if not muon:
        return torch.optim.AdamW(groups, fused=on_host(config))
    from deepspeed.runtime.zero.muon.muon_optimizer import MuonWithAuxAdam  # noqa: PLC0415

    for name, parameter in named.items():
        parameter.use_muon = name in muon  # type: ignore[attr-defined] # ZeRO reads it
    matrices = {
        "params": [p for name, p in named.items() if name in muon],  # in the model's order
        "weight_decay": config.weight_decay,
        "lr": config.muon_lr,
        "momentum": 0.95,
        "use_muon": True,
    }
    return MuonWithAuxAdam([matrices, *(g | {"use_muon": False, "eps": 1e-8} for g in groups)])


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon may take a weight: a matrix between features, neither entry, exit nor AdaLN."""
    return parameter.ndim == 2 and name.startswith("blocks.") and ".modulation." not in name


def on_host(config: TrainConfig) -> bool:
    """Whether a CPU steps what is trained on a GPU: worth the fused kernel, whose sums differ."""
    return config.offload is not None and config.offload.optimizer == "cpu"
