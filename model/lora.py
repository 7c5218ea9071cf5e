"""Low-rank adapters beside linear layers (LoRA, Hu et al. 2021, arXiv 2106.09685, eq. 3):
W x + (alpha / r) B A x, with B zero at first, so that an adapted model begins as its base.

Files are in the layout of PEFT and diffusers: `<layer>.lora_A.weight`, `<layer>.lora_B.weight`, and
PEFT's names of rank, alpha and layers in the header.

Letters: I features in, O features out, r rank.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
HEADER = "lora_adapter_metadata"  # diffusers' key
SHOWN = 3  # names in a message


class LoraLinear(nn.Linear):
    """A linear layer with an adapter. Its own weight and bias keep their names."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(base.in_features, base.out_features, device="meta")
        self.weight, self.bias = base.weight, base.bias
        where = base.weight.device
        self.lora_A = nn.Linear(base.in_features, rank, bias=False, device=where)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False, device=where)
        self.scale = alpha / rank
        if where.type != "meta":
            nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Base and adapter on x [..., I] -> [..., O]."""
        return super().forward(x) + self.scale * self.lora_B(self.lora_A(x))


@dataclass(frozen=True)
class Adapter:
    """What a file of adapters holds."""

    tensors: dict[str, Tensor]  # [r,I] and [O,r] by name
    rank: int
    alpha: float
    base: str  # fingerprint of the weights that it was trained on; empty: not known

    @property
    def layers(self) -> list[str]:
        """The layers that it adapts."""
        return sorted(name.removesuffix(DOWN) for name in self.tensors if name.endswith(DOWN))


def layers(model: nn.Module) -> list[str]:
    """Every linear layer that an adapter can stand beside, in the model's order."""
    return [name for name, module in model.named_modules() if type(module) is nn.Linear]


def add(model: nn.Module, names: Iterable[str], rank: int, alpha: float) -> None:
    """Give layers an adapter, in place, and leave only adapters to be trained."""
    model.requires_grad_(requires_grad=False)
    for name in names:
        parent, _, last = name.rpartition(".")
        base = model.get_submodule(name)
        assert isinstance(base, nn.Linear)
        setattr(model.get_submodule(parent), last, LoraLinear(base, rank, alpha))


def is_adapter(name: str) -> bool:
    """Whether a parameter is an adapter's."""
    return name.endswith((DOWN, UP))


def merged(
    weights: Mapping[str, Tensor], adapters: Mapping[str, Tensor], scale: float
) -> dict[str, Tensor]:
    """Weights with `scale` B A added to those that have an adapter, and no adapters beside them.

    Raises ValueError naming a layer that the weights have not, or have in another shape.
    """
    found = {name: tensor for name, tensor in weights.items() if not is_adapter(name)}
    down = {n.removesuffix(DOWN): t for n, t in adapters.items() if n.endswith(DOWN)}
    for layer, narrow in down.items():
        wide, own = adapters.get(layer + UP), f"{layer}.weight"
        if wide is None:
            raise ValueError(f"there is no {layer}{UP}")
        if own not in found:
            raise ValueError(f"there is no layer {layer}")
        shape = (wide.shape[0], narrow.shape[1])
        if shape != tuple(found[own].shape) or wide.shape[1] != narrow.shape[0]:
            raise ValueError(f"{layer} is of shape {tuple(found[own].shape)}, not {shape}")
        update = wide.float() @ narrow.float()
        found[own] = (found[own].float() + scale * update).to(found[own].dtype)
    return found


def save(path: Path, adapter: Adapter) -> None:
    """Write a file of adapters."""
    told = {
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "target_modules": adapter.layers,
        "base_model_name_or_path": adapter.base,
    }
    # one key: safetensors writes several in another order each time, and bytes should repeat
    header = {HEADER: json.dumps(told, sort_keys=True)}
    save_file({n: t.contiguous() for n, t in adapter.tensors.items()}, path, metadata=header)


def read(path: Path) -> Adapter:
    """A file of adapters. Raises ValueError when it is none, or a number of it is not finite."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = json.loads(header[HEADER])
        rank, alpha = int(told["r"]), float(told["lora_alpha"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no file of adapters with {HEADER} in its header: {error}"
        ) from error
    if strange := [name for name in tensors if not is_adapter(name)]:
        raise ValueError(f"{path} has {', '.join(strange[:SHOWN])}, which are no adapters")
    if bad := [name for name, t in tensors.items() if not bool(torch.isfinite(t).all())]:
        raise ValueError(f"{path}: {bad[0]} has NaN or Inf")
    if not tensors or rank < 1:
        raise ValueError(f"{path} holds no adapters")
    return Adapter(tensors, rank, alpha, str(told.get("base_model_name_or_path") or ""))
