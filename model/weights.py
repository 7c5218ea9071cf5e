"""Weights on disk: safetensors with their configuration inside, named by a hash of both."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

CONFIG_KEY = "config"


def pack(tensors: dict[str, Tensor], config: dict[str, Any], half: bool = True) -> bytes:
    """The bytes of a weights file; `half` stores floating tensors as float16.

    Statistics and PCA means are small and are kept in float32: names that end in `_stat`.
    """
    stored = {
        name: tensor.detach().cpu().to(_stored_type(name, tensor, half)).contiguous()
        for name, tensor in sorted(tensors.items())
    }
    return save(stored, metadata={CONFIG_KEY: json.dumps(config, sort_keys=True)})


def _stored_type(name: str, tensor: Tensor, half: bool) -> torch.dtype:
    if not tensor.is_floating_point():
        return tensor.dtype
    return torch.float16 if half and not name.endswith("_stat") else torch.float32


def unpack(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (floating ones as float32) and configuration of a weights file.

    Raises ValueError when the file is missing, damaged or carries no configuration.
    """
    try:
        with safe_open(path, framework="pt") as handle:
            config = json.loads((handle.metadata() or {})[CONFIG_KEY])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ValueError(
            f"there are no weights at {path}; give a folder made by `reelmill vae`"
        ) from error
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a weights file of this project: {error}") from error
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }, config


def fingerprint(tensors: dict[str, Tensor], config: dict[str, Any]) -> str:
    """12 hex characters that name weights and configuration: any change changes them."""
    digest = hashlib.blake2b(json.dumps(config, sort_keys=True).encode(), digest_size=6)
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
