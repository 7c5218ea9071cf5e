"""Adapters that `generate` puts on a checkpoint: merged into its weights once, so that a step takes
as long as without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from curation.files import sha256_file
from curation.progress import say
from jobs.clip_request import Adapted
from jobs.config import RecipeError
from jobs.generate_config import GenerateConfig
from jobs.training.start import StartError, step_folder
from jobs.training.whole import FILE
from model import lora
from model.weights import fingerprint


@dataclass(frozen=True)
class Lora:
    """A file of adapters and how strongly it counts."""

    path: Path
    sha256: str
    scale: float

    @property
    def adapted(self) -> Adapted:
        """What of it decides a clip."""
        return Adapted(sha256=self.sha256, scale=self.scale)


def adapters(config: GenerateConfig) -> tuple[Lora, ...]:
    """The adapters that `generate.lora` names. Raises RecipeError."""
    texts = (config.lora,) if isinstance(config.lora, str) else config.lora
    return tuple(named(text) for text in texts)


def named(text: str) -> Lora:
    """The adapters of PATH or PATH@SCALE. Raises RecipeError."""
    path, scale = text, 1.0
    before, at, after = text.rpartition("@")
    if at:
        try:
            path, scale = before, float(after)
        except ValueError:
            path = text  # an @ of the path's own
    file = Path(path)
    if file.suffix != ".safetensors":
        try:
            file = step_folder(file, "generate.lora") / FILE
        except StartError as error:
            raise RecipeError(str(error)) from error
    if not file.is_file():
        raise RecipeError(f"generate.lora: there is no {file}; was {path} trained with train.lora?")
    return Lora(file.resolve(), sha256_file(file), scale)


def with_adapters(weights: dict[str, Tensor], loras: Sequence[Lora]) -> dict[str, Tensor]:
    """A checkpoint's weights with adapters merged, one after the other. Raises ValueError."""
    if not loras:
        return weights
    found, base = weights, fingerprint(weights, {})
    for one in loras:
        adapter = lora.read(one.path)
        if adapter.base and adapter.base != base:
            say(f"warning: {one.path} was trained on other weights than these")
        try:
            found = lora.merged(found, adapter.tensors, one.scale * adapter.alpha / adapter.rank)
        except ValueError as error:
            raise ValueError(f"generate.lora: {one.path} fits another model: {error}") from error
    return found
