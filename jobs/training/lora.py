"""Adapters in a training run: which layers have one, and what a checkpoint keeps of them.

The model that is trained has the base's weights under their own names, frozen, and adapters beside
them. A checkpoint holds what is trained: in its state the adapters with their moments and average,
in `adapter.safetensors` the averaged adapters with the fingerprint of their base (`whole.py`).
"""

import re
from pathlib import Path

from torch import Tensor, nn

from jobs.training.config import TrainConfig
from jobs.training.lora_config import LoraConfig
from jobs.training.start import StartError, fits
from jobs.training.whole import FILE
from model import lora


def adapt(model: nn.Module, config: TrainConfig) -> None:
    """Put adapters beside the layers that `train.lora` names, and freeze the rest. A layer that
    `train.freeze` names has no adapter.

    Raises StartError.
    """
    assert config.lora is not None
    names = chosen(lora.layers(model), config)
    lora.add(model, names, config.lora.rank, config.lora.strength)


def chosen(layers: list[str], config: TrainConfig) -> list[str]:
    """The layers that have an adapter. Raises StartError naming those that there are."""
    assert config.lora is not None
    found = set()
    for pattern in config.lora.modules:
        fitting = {name for name in layers if fits(name, pattern)}
        if not fitting:
            there = sorted({re.sub(r"\.\d+(?=\.)", ".*", name) for name in layers})
            raise StartError(
                f"train.lora.modules: no linear layer fits {pattern!r}; there are "
                f"{', '.join(there)}"
            )
        found |= fitting
    free = {n for n in found if not any(fits(f"{n}.weight", p) for p in config.freeze)}
    if not free:
        raise StartError("train.freeze names every layer of train.lora.modules")
    return [name for name in layers if name in free]


def check(model: nn.Module, config: TrainConfig) -> None:
    """Raises StartError where there is nothing to adapt, or a pattern fits nothing."""
    if not config.init.path:
        raise StartError(
            "train.lora adapts trained weights; give them with train.init.path, or take it out"
        )
    adapt(model, config)


def usable(weights: dict[str, Tensor], config: LoraConfig | None) -> dict[str, Tensor]:
    """What a model without adapters loads: the weights with adapters merged."""
    return weights if config is None else lora.merged(weights, weights, config.scale)


def save(folder: Path, averaged: dict[str, Tensor], config: LoraConfig, base: str) -> None:
    """Write the averaged adapters."""
    own = {name: tensor for name, tensor in averaged.items() if lora.is_adapter(name)}
    lora.save(folder / FILE, lora.Adapter(own, config.rank, config.strength, base))
