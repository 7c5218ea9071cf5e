"""The model of a run, with the weights that are in no rank's state: those that are not trained."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from curation.files import atomic
from jobs.training import checkpoint, lora, ranks
from jobs.training.checkpoint import CheckpointError
from jobs.training.config import TrainConfig
from jobs.training.start import freeze, start_from
from jobs.training.whole import BASE, read_base
from model.config import ModelConfig
from model.mmdit import MMDiT
from model.weights import fingerprint


def build(
    shape: ModelConfig, config: TrainConfig, seed: int, out: Path, found: Path | None
) -> tuple[MMDiT, str, list[str]]:
    """The model to train, the fingerprint of the base below adapters, and what of a new run's
    weights is fresh. `found` is the step that a run goes on from.

    Raises StartError, and CheckpointError where the base is not the one that a step adapts.
    """
    torch.manual_seed(seed)  # the initial weights; nothing later draws from a shared state
    model = MMDiT(shape)
    model.recompute = config.recompute
    base = ""
    fresh: list[str] = []
    if config.lora:
        base, fresh = put_base(model, config, out / BASE, found)
        lora.adapt(model, config)
    elif found is not None and config.freeze:
        model.load_state_dict(load_file(found / "model.safetensors"))
    elif found is None and config.init.path:
        fresh = start_from(model, config.init)
    freeze(model, config.freeze)
    if config.compile:
        for block in model.blocks:
            block.compile()
    return model, base, fresh


def put_base(
    model: MMDiT, config: TrainConfig, kept: Path, found: Path | None
) -> tuple[str, list[str]]:
    """Load the weights below adapters, and keep them once for the run. Collective."""
    wanted = str(checkpoint.read_trainer(found)["base"]) if found else ""
    if found and ranks.from_first(kept.is_file()):
        model.load_state_dict(read_base(kept, wanted, found))
        return wanted, []
    fresh = start_from(model, config.init)
    base = fingerprint(model.state_dict(), {})
    if wanted not in ("", base):
        raise CheckpointError(
            f"{found} adapts other weights than train.init.path gives now ({config.init.path}); "
            f"give those that the run began with, or put its {kept.name} back to {kept.parent}"
        )
    if ranks.rank() == 0:
        with atomic(kept) as temp:
            save_file({n: value.contiguous() for n, value in model.state_dict().items()}, temp)
    return base, fresh
