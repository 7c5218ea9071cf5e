"""A donor transformer on disk or on the hub: read whole, and refused by name where it is not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.config import ModelConfig
from model.donors import DONORS, Weights, donor_config, tower_weights
from model.vae_folder import CONFIG, Saved, find_saved, fingerprint_of


@dataclass(frozen=True)
class Donor:
    """A donor as our picture tower."""

    kind: str  # its class in diffusers
    folder: Path
    fingerprint: str  # of its configuration and weights as stored
    config: ModelConfig
    weights: Weights  # by our names; what a donor lacks is not there


def load_donor(name: str, **changes: Any) -> Donor:  # noqa: ANN401 - fields of ModelConfig
    """The donor of a folder (a pipeline's, or the transformer's own) or hub id.

    `changes` replace fields of the configuration that follows from the donor's. Raises ValueError
    for pickled weights, another class, an option that we do not have, keys that are missing or
    unknown, shapes that do not fit the configuration, and numbers that are not finite.
    """
    saved = find_saved(name, "transformer", "donor", also="")
    if saved.kind not in DONORS:
        raise ValueError(
            f"{saved.folder / CONFIG} is of class {saved.kind or 'unknown'!r}; "
            f"this takes {', '.join(sorted(DONORS))}"
        )
    wanted, values = shapes(saved)
    try:
        config = donor_config(saved.kind, values, **changes)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{saved.folder / CONFIG}: {error}") from error
    donor = read_whole(saved, wanted)
    weights = tower_weights(saved.kind, donor, config)
    return Donor(saved.kind, saved.folder, fingerprint_of(saved), config, weights)


def shapes(saved: Saved) -> tuple[dict[str, torch.Size], dict[str, Any]]:
    """What diffusers' own class would hold, by name, and its configuration with defaults."""
    try:
        import diffusers  # noqa: PLC0415 - seconds, and only here

        cls = getattr(diffusers, saved.kind)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{saved.folder} needs diffusers >= 0.39: pip install 'reelmill[diffusers]' ({error})"
        ) from error
    try:
        with torch.device("meta"):
            network = cls.from_config(saved.config)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ValueError(f"{saved.folder / CONFIG} makes no {saved.kind}: {error}") from error
    return {name: x.shape for name, x in network.state_dict().items()}, dict(network.config)


def read_whole(saved: Saved, wanted: dict[str, torch.Size]) -> Weights:
    """Every tensor of the donor, checked. Raises ValueError naming the first that is wrong."""
    found: dict[str, Tensor] = {}
    for path in saved.files:
        try:
            with safe_open(path, framework="pt") as handle:
                for name in handle.keys():  # noqa: SIM118 - not a dict
                    found[name] = handle.get_tensor(name)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged or not safetensors: {error}") from error
    for told, names in (
        ("are missing", sorted(wanted.keys() - found.keys())),
        (f"are none of {saved.kind}'s", sorted(found.keys() - wanted.keys())),
    ):
        if names:
            raise ValueError(f"{saved.folder}: {len(names)} weights {told}, e.g. {names[0]}")
    for name, tensor in found.items():
        if tensor.shape != wanted[name]:
            raise ValueError(
                f"{saved.folder}: {name} is {tuple(tensor.shape)}, by its {CONFIG} it must be "
                f"{tuple(wanted[name])}"
            )
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{saved.folder}: {name} holds NaN, Inf or no floating numbers")
    return found
