"""Checkpoints that are complete or do not exist.

A step's folder is written under a temporary name by all ranks; rank 0 then hashes every file,
writes `manifest.json`, makes all of it durable and renames the folder. A reader checks every hash
before anything in the folder is parsed.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from curation.files import fsync_folder, sha256_file, write_json
from curation.progress import say
from jobs.training import ranks

MANIFEST = "manifest.json"
TEMPORARY = ".tmp-step-"
MAX_JSON_BYTES = 16 << 20
STEP_FOLDER = re.compile(r"step-(\d{8})")


class CheckpointError(ValueError):
    """No checkpoint can be used; the message says which and what to do."""


class DamagedError(CheckpointError):
    """One checkpoint is not what its manifest says."""


@dataclass(frozen=True)
class Weights:
    """What `generate` needs: full averaged weights and the card that describes them."""

    folder: Path
    card: dict[str, Any]
    tensors: dict[str, Tensor]


def name(step: int) -> str:
    """The folder of a step: `step-00000100`."""
    return f"step-{step:08d}"


def steps(folder: Path) -> list[Path]:
    """Step folders, oldest first, complete or not."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if STEP_FOLDER.fullmatch(p.name) and p.is_dir()]
    return sorted(found, key=lambda p: p.name)


def step_of(folder: Path) -> int:
    """The step a folder is named for."""
    match = STEP_FOLDER.fullmatch(folder.name)
    if match is None:
        raise CheckpointError(f"{folder} is not a step folder (step-00000100)")
    return int(match[1])


def commit(folder: Path, step: int, write: Callable[[Path], None], keep: int) -> Path:
    """Make the checkpoint of `step`: every rank's `write(temporary folder)`, then one rename.

    Collective. `folder` must be storage that all ranks share. Keeps the newest `keep` complete
    checkpoints.
    """
    temporary = folder / ranks.from_first(f"{TEMPORARY}{step:08d}-{uuid.uuid4().hex[:8]}")
    if ranks.rank() == 0:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.mkdir(mode=0o700)
    ranks.barrier()
    write(temporary)
    ranks.barrier()  # every shard is written before the first is hashed
    files = files_of(temporary) if ranks.rank() == 0 else []  # one rank's view of a shared folder
    files = ranks.from_first([(path.stat().st_size, path) for path in files])
    parts = ranks.gather(hashed(temporary, share(files)))
    final = folder / name(step)
    if ranks.rank() == 0:
        close(temporary, step, {name: facts for part in parts for name, facts in part.items()})
        for path in steps(folder):
            if step_of(path) >= step:  # damaged, or it would have been resumed from
                discard(path)
        temporary.rename(final)
        fsync_folder(folder)
        retain(folder, keep)
    ranks.barrier()
    return final


def seal(folder: Path, step: int) -> None:
    """Hash every file of `folder` into its manifest, by this process alone."""
    close(folder, step, hashed(folder, files_of(folder)))


def share(files: list[tuple[int, Path]]) -> list[Path]:
    """Of files with their bytes those that this rank hashes: the largest first, each to the rank
    that has least so far.
    """
    loads = [0] * ranks.world()
    own = []
    for size, path in sorted(files, reverse=True):
        to = loads.index(min(loads))
        loads[to] += size
        if to == ranks.rank():
            own.append(path)
    return own


def hashed(folder: Path, files: list[Path]) -> dict[str, Any]:
    """Size and hash by name of durable files below `folder`."""
    found = {}
    for path in files:
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
        relative = path.relative_to(folder).as_posix()
        found[relative] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    return found


def close(folder: Path, step: int, listed: dict[str, Any]) -> None:
    """Write the manifest of all files, and make the folders durable."""
    for inner in {path.parent for path in files_of(folder)}:
        fsync_folder(inner)
    value = {"step": step, "world": ranks.world(), "files": dict(sorted(listed.items()))}
    write_json(folder / MANIFEST, {**value, "digest": digest(value)})


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Hash of a manifest's content, so that its own damage is found too."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def files_of(folder: Path) -> list[Path]:
    """Every file below `folder` but the manifest, sorted. A link is refused, not followed."""
    found = sorted(p for p in folder.rglob("*") if not p.is_dir() or p.is_symlink())
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise DamagedError(f"{path} is not a plain file")
    return [path for path in found if path != folder / MANIFEST]


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of a complete checkpoint. Raises DamagedError naming the file that is wrong."""
    value = read_manifest(folder)
    if value["step"] != step_of(folder):
        raise DamagedError(f"{folder} holds step {value['step']}")
    present = {path.relative_to(folder).as_posix() for path in files_of(folder)}
    if present != set(value["files"]):
        odd = sorted(present ^ set(value["files"]))[0]
        raise DamagedError(f"{folder / odd} is {'unknown' if odd in present else 'missing'}")
    for relative, expected in value["files"].items():
        path = folder / relative
        if path.stat().st_size != expected["bytes"] or sha256_file(path) != expected["sha256"]:
            raise DamagedError(f"{path} does not match its hash")
    return value


def read_manifest(folder: Path) -> dict[str, Any]:
    """Step, world and files of a manifest that is whole. Raises DamagedError."""
    manifest = _read_json(folder / MANIFEST)
    value = {key: manifest.get(key) for key in ("step", "world", "files")}
    if not isinstance(value["files"], dict) or manifest.get("digest") != digest(value):
        raise DamagedError(f"{folder / MANIFEST} is damaged")
    return value


def newest(folder: Path) -> Path | None:
    """The newest complete checkpoint below `folder`, or None when there never was one.

    Damaged ones are passed over with one warning. Raises CheckpointError when there are step
    folders and none is complete: a run never starts again at step 0 by itself.
    """
    found = steps(folder)
    troubles: list[str] = []
    for path in reversed(found):
        try:
            verify(path)
        except (DamagedError, OSError) as trouble:
            troubles.append(str(trouble))
            continue
        if troubles:
            say(f"warning: {'; '.join(troubles)}; going back to {path.name}")
        return path
    if troubles:
        raise CheckpointError(
            f"no complete checkpoint in {folder}: {'; '.join(troubles)}. Restore one, or start "
            "over with the word `fresh` after the recipe"
        )
    return None


def read_trainer(folder: Path) -> dict[str, Any]:
    """Counters and cursor of a verified checkpoint."""
    return _read_json(folder / "trainer.json")


def read_card(folder: Path) -> dict[str, Any]:
    """What a verified checkpoint says of its model."""
    return _read_json(folder / "model.json")


def read_weights(folder: Path, *, averaged: bool = True) -> Weights:
    """Card and full weights of a checkpoint, verified first."""
    verify(folder)
    file = "ema.safetensors" if averaged else "model.safetensors"
    return Weights(folder, read_card(folder), load_file(folder / file))


def write_weights(folder: Path, averaged: dict[str, Tensor], plain: dict[str, Tensor]) -> None:
    """Both full weight sets as safetensors."""
    save_file(averaged, folder / "ema.safetensors")
    save_file(plain, folder / "model.safetensors")


def retain(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` step folders; call right after a commit."""
    for path in steps(folder)[:-keep]:
        discard(path)


def discard(path: Path) -> None:
    """Delete a step folder. It loses its name first, so that a half-deleted one is never chosen."""
    gone = path.with_name(f"{TEMPORARY}gone-{uuid.uuid4().hex[:8]}")
    path.rename(gone)
    shutil.rmtree(gone)


def sweep(folder: Path) -> int:
    """Remove what killed writers left; return how many folders. Call before any rank writes."""
    left = list(folder.glob(f"{TEMPORARY}*")) if folder.is_dir() else []
    for path in left:
        shutil.rmtree(path)
    return len(left)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DamagedError(f"{path} is missing")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise DamagedError(f"{path} is larger than {MAX_JSON_BYTES} bytes")
    try:
        value = json.loads(path.read_text())
    except ValueError as error:  # not UTF-8 or not JSON
        raise DamagedError(f"{path} is not valid JSON") from error
    if not isinstance(value, dict):
        raise DamagedError(f"{path} must hold an object")
    return value
