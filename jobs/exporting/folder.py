"""The folder of an export: a checkpoint for use, without what only training needs.

`<out>/exports/<id>/step-00000100/` has averaged weights, `model.json`, the run's resolved recipe,
the clips that these weights made with the json that makes each again, `export.json` and a card. It
is sealed as checkpoints are, so `generate.checkpoint` and `train.init.path` take it as it is.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from curation.files import fingerprint, sha256_file, write_json, write_text
from curation.progress import say
from jobs.clip_request import read_request
from jobs.config import RESOLVED, Recipe, RecipeError
from jobs.exporting.card import card_text
from jobs.training import checkpoint
from jobs.training.copies import fetch_newest
from jobs.training.whole import FILE, usable

WEIGHTS, ABOUT, CARD, CLIPS = "ema.safetensors", "export.json", "README.md", "clips"


@dataclass(frozen=True)
class Export:
    """An export that is complete on disk."""

    folder: Path  # holds the step's folder
    about: dict[str, Any]  # export.json
    card: str

    @property
    def weights(self) -> str:
        """The sha256 of the averaged weights."""
        return str(self.about["weights"])


def write(recipe: Recipe) -> Export:
    """Export the newest checkpoint of a run; one that is there already stays.

    Raises RecipeError naming what is missing, damaged or not finite.
    """
    step = newest(recipe)
    run = recipe.out / RESOLVED
    if not run.is_file():
        raise RecipeError(f"there is no {run}; give `reelmill train` once more, which writes it")
    weights = sha256_file(step / WEIGHTS)
    clips = clips_of(recipe.out / CLIPS, weights)[: recipe.export.clips]
    card = checkpoint.read_card(step)
    about = {
        "recipe": card["recipe"],
        "step": card["step"],
        "weights": weights,
        "contract": card["data"],
        "code": card["code"],
        "clips": {film.name: sha256_file(film) for film in clips},
        "run": run_id(recipe.out),
    }
    named = {"recipe": sha256_file(run), "card": checkpoint.digest(card)}
    folder = recipe.out / "exports" / fingerprint(about | named)
    text = card_text(card, about, recipe.out, folder.name)
    if not whole(folder / step.name):
        finite(step / WEIGHTS)

        def files(place: Path) -> None:
            for name in (WEIGHTS, "model.json", FILE):
                if (step / name).is_file():
                    shutil.copyfile(step / name, place / name)
            shutil.copyfile(run, place / RESOLVED)
            (place / CLIPS).mkdir()
            for film in clips:
                for path in (film, film.with_suffix(".json")):
                    shutil.copyfile(path, place / CLIPS / path.name)
            write_json(place / ABOUT, about)
            write_text(place / CARD, text)

        checkpoint.commit(folder, checkpoint.step_of(step), files, keep=1)
    return Export(folder, about, text)


def newest(recipe: Recipe) -> Path:
    """The newest complete checkpoint of the run in `out`. Raises RecipeError."""
    fetch_newest(recipe)
    place = recipe.out / "checkpoints"
    try:
        found = checkpoint.newest(place)
        found = found and usable(found)
    except checkpoint.CheckpointError as error:
        raise RecipeError(str(error)) from error
    if found is None:
        stages = "; of a chain, give --out the folder of a stage" if recipe.stages else ""
        raise RecipeError(f"there is no checkpoint in {place}; run train{stages}")
    return found


def whole(step: Path) -> bool:
    """Whether an earlier export is there and undamaged; a damaged one is said, and made anew."""
    if not step.is_dir():
        return False
    try:
        checkpoint.verify(step)
    except checkpoint.DamagedError as error:
        say(f"warning: {error}; exporting it anew")
        return False
    return True


def finite(path: Path) -> None:
    """Raise RecipeError where weights have NaN or Inf."""
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            if not bool(torch.isfinite(file.get_tensor(name)).all()):
                raise RecipeError(f"{path}: {name} has NaN or Inf; such weights make no clips")


def clips_of(folder: Path, weights: str) -> list[Path]:
    """Films that these weights alone made, by name, each with its json beside it.

    Raises RecipeError for a film that is not what its json says.
    """
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            request, sha256 = read_request(path)
        except RecipeError:
            continue  # of another version, or not ours
        alone = request.weights == weights and not request.lora and not request.refiner
        if not alone or request.name != path.stem:
            continue
        film = folder / request.file
        if not film.is_file() or sha256_file(film) != sha256:
            raise RecipeError(
                f"{film} is missing or not the film of its json; make it again with `generate`"
            )
        found.append(film)
    return found


def run_id(out: Path) -> str | None:
    """MLflow's id of the training, if it was tracked."""
    try:
        return str(json.loads((out / "run.json").read_text())["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
