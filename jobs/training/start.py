"""What a run starts from, another run's weights or some of them, and which parts are trained."""

from fnmatch import fnmatchcase
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from jobs.training import checkpoint
from jobs.training.init_config import InitConfig
from jobs.training.whole import FULL, usable

TOWERS = ("video", "audio")
SHOWN = 3  # names in a message


class StartError(ValueError):
    """The weights do not fit; the message names file, parameter and fix."""


def source(path: Path, field: str = "train.init.path") -> Path:
    """The file of full averaged weights that a path means. Raises StartError naming the field."""
    if path.suffix == ".safetensors":
        return path
    try:
        return usable(step_folder(path, field)) / FULL
    except checkpoint.CheckpointError as error:
        raise StartError(f"{field}: {error}") from error


def step_folder(path: Path, field: str) -> Path:
    """The step folder that a run's, an export's or its own path means. Raises StartError."""
    try:
        folder = path if checkpoint.STEP_FOLDER.fullmatch(path.name) else None
        folder = folder or checkpoint.newest(path / "checkpoints") or checkpoint.newest(path)
        if folder is None:
            raise StartError(f"{field}: {path} holds no checkpoint")
        checkpoint.verify(folder)
    except checkpoint.CheckpointError as error:
        raise StartError(f"{field}: {error}") from error
    return folder


def planned(model: nn.Module, config: InitConfig) -> tuple[Path, dict[str, str]]:
    """The file, and the stored name of every model tensor it gives; only the header is read.

    Raises StartError.
    """
    path = source(Path(config.path))
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise StartError(f"train.init.path: {path} is no safetensors file: {error}") from error
    chosen = {renamed(name, config.rename): name for name in stored}
    if config.only:
        chosen = {n: old for n, old in chosen.items() if any(fits(n, p) for p in config.only)}
    if not chosen:
        raise StartError(f"train.init.only: {', '.join(config.only)} fits no tensor in {path}")
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if strange := sorted(set(chosen) - set(shapes)):
        raise StartError(
            f"train.init: {path} has {listed(strange)}, which the model has not; choose with "
            "train.init.only, or name them with train.init.rename"
        )
    for name, old in chosen.items():
        if stored[old] != shapes[name]:
            raise StartError(
                f"train.init: {old} in {path} has shape {stored[old]}, the model's {name} has "
                f"{shapes[name]}; train.size and train.model must be those of the file"
            )
    return path, chosen


def start_from(model: nn.Module, config: InitConfig) -> list[str]:
    """Load weights into the model in place; the names of what stays as it was made.

    Every tensor that is taken has to be in the model with its shape, and finite. Raises StartError.
    """
    path, chosen = planned(model, config)
    with safe_open(path, framework="pt") as file:
        taken = {name: file.get_tensor(old) for name, old in chosen.items()}
    for name, tensor in taken.items():
        if not bool(torch.isfinite(tensor).all()):
            raise StartError(f"train.init: {chosen[name]} in {path} has NaN or Inf")
    model.load_state_dict(taken, strict=False)
    return sorted(set(model.state_dict()) - set(taken))


def renamed(name: str, rename: dict[str, str]) -> str:
    """A name in the file as the model has it; the longest beginning that fits decides."""
    old = max((old for old in rename if name.startswith(old)), key=len, default=None)
    return name if old is None else rename[old] + name.removeprefix(old)


def fits(name: str, pattern: str) -> bool:
    """Whether a parameter is one of a tower's, `video` or `audio`, or its name is the pattern's."""
    if pattern in TOWERS:
        return name.startswith(f"{pattern}.") or f".{pattern}." in name
    return fnmatchcase(name, pattern)


def freeze(model: nn.Module, patterns: tuple[str, ...]) -> None:
    """Leave the parameters that fit a pattern untrained. Raises StartError."""
    for pattern in patterns:
        found = [p for name, p in model.named_parameters() if fits(name, pattern)]
        if not found:
            some = listed([name for name, _ in model.named_parameters()])
            raise StartError(f"train.freeze: no parameter fits {pattern!r}; there are {some}")
        for parameter in found:
            parameter.requires_grad = False
    if not any(p.requires_grad for p in model.parameters()):
        raise StartError("train.freeze leaves nothing to train")


def listed(names: list[str]) -> str:
    """The first names and how many more."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
