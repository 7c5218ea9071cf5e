"""Full weights of a checkpoint that holds adapters alone.

A run of adapters keeps its base once, in `<out>/base.safetensors`. Who needs full weights gets a
step folder with base and adapters merged, sealed as any other: it is made on first use in
`<out>/merged/<hash of the adapters>/step-00000100` and may be deleted.
"""

import shutil
import uuid
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from curation.files import fsync_folder, sha256_file
from jobs.training import checkpoint
from jobs.training.checkpoint import TEMPORARY, CheckpointError, DamagedError
from model import lora
from model.weights import fingerprint

FILE, BASE, MERGED = "adapter.safetensors", "base.safetensors", "merged"
FULL = "ema.safetensors"


def usable(folder: Path) -> Path:
    """A step folder with full averaged weights: this one, or its merged one.

    Raises CheckpointError where adapters, or the base below them, are damaged or other ones.
    """
    if (folder / FULL).is_file() or not (folder / FILE).is_file():
        return folder
    checkpoint.verify(folder)
    run = folder.parent.parent
    place = run / MERGED / sha256_file(folder / FILE)[:12] / folder.name
    try:
        checkpoint.verify(place)
    except DamagedError:
        write(place, folder, merged(folder, run / BASE))
    return place


def merged(folder: Path, base: Path) -> dict[str, Tensor]:
    """The base with a step's averaged adapters in it. Raises CheckpointError."""
    try:
        adapter = lora.read(folder / FILE)
        weights = read_base(base, adapter.base, folder)
        return lora.merged(weights, adapter.tensors, adapter.alpha / adapter.rank)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def read_base(path: Path, wanted: str, folder: Path) -> dict[str, Tensor]:
    """The weights below a run's adapters, by their fingerprint. Raises CheckpointError."""
    again = "the recipe's `train` makes it again from train.init.path"
    if not path.is_file():
        raise CheckpointError(f"{path}, the base of {folder.name}, is missing; {again}")
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); delete it: {again}") from error
    if fingerprint(tensors, {}) != wanted:
        raise CheckpointError(f"{path} is not the base that {folder} adapts; delete it: {again}")
    return tensors


def write(place: Path, folder: Path, tensors: dict[str, Tensor]) -> None:
    """Seal a step folder of full weights. Several may: the bytes are the same, the first stays."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = place.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}")
    temporary.mkdir(mode=0o700)
    try:
        save_file(tensors, temporary / FULL)
        for name in ("model.json", FILE):
            shutil.copyfile(folder / name, temporary / name)
        checkpoint.seal(temporary, checkpoint.step_of(folder))
        if place.exists():
            checkpoint.discard(place)
        temporary.rename(place)
        fsync_folder(place.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
