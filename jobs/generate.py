"""Make clips with picture and sound from a checkpoint: `<out>/clips/*.mp4`, each with a json.

`reelmill generate recipe.yaml` makes `generate.count` clips; those that are there already stay.
`reelmill generate recipe.yaml clip.json` makes that clip again and says whether the bytes are the
same. `reelmill generate recipe.yaml requests.yaml` makes a list of requests, each a mapping of
`generate` fields over the recipe's. With `workers` they are shared out over Ray actors, on a
cluster too, where `out` has to be a folder that all machines see.

From text alone, or with: `image`, `last_image`, `keyframes` (pictures at times); `clip` (goes on
where a film ends, or with `extend: backward` makes what came before); `source` with `mask`, `box`
or `span` (makes these parts of a film anew) or with `inside` (paints around it); `source` with
`make: sound` (sound for a film); `sound` with `make: picture` (picture for a sound); `make: audio`,
`video` or `image` (one of the two alone).
`references` gives files to the tags of a prompt (`@image_1`, `@video_1`, `@Audio-0`); times in a
prompt, `[0.0-2.5s] …`, divide it into shots. docs/generate.md shows each. What is kept comes back
unchanged, before the mp4's own coding.
"""

import os
from pathlib import Path
from typing import Any

import torch

from curation.captions.server import ServerError
from curation.files import sha256_file, write_json
from curation.progress import progress, say
from jobs.beside import write_beside
from jobs.cli import DONE, FAILED, main_verb
from jobs.clip_request import ClipRequest, read_request, requests
from jobs.config import Recipe, RecipeError, code_version
from jobs.enhance import enhanced
from jobs.generate_batch import read_batch
from jobs.generate_config import GenerateConfig
from jobs.generate_lora import adapters
from jobs.maker import Maker
from jobs.memory import check_memory
from jobs.training import checkpoint
from jobs.training.copies import fetch_newest
from jobs.training.whole import usable
from pipelines.contract import find_set
from pipelines.stream import Reader

SECTIONS = ("generate",)
PROMPTS_FROM = 64  # held-out clips looked at for captions


def run(recipe: Recipe, words: list[str]) -> int:
    """Make the clips; 1 when a clip.json gives other bytes than it did."""
    if len(words) > 1:
        raise RecipeError("generate takes one clip.json or one file of requests at most")
    config = recipe.generate
    if config.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("generate.device is cuda and there is no GPU here; use cpu")
    card = Path(words[0]) if words and Path(words[0]).suffix == ".json" else None
    asked = read_batch(Path(words[0]), recipe) if words and not card else [config]
    try:
        refiner = newest_of(config.refiner, "refiner") if config.refiner else None
        folder = find_checkpoint(recipe)
        check_memory([read_request(card)[0]] if card else asked, folder, refiner, config.device)
        maker = Maker(folder, config.device, refiner, adapters(config))
    except RecipeError:
        raise
    except ValueError as error:  # a damaged checkpoint, other autoencoders
        raise RecipeError(str(error)) from error
    if card:
        return again(maker, card, recipe.out / "clips")
    wanted = [request for one in asked for request in requests_of(one, recipe, maker)]
    if config.enhance:
        try:
            wanted = enhanced(config.enhance, wanted, maker.card, recipe.out / "enhanced")
        except ServerError as error:
            say(f"generate: {error}; captions so far are kept, run it again to go on")
            return FAILED
    if config.workers:
        from jobs.generate_spread import spread  # noqa: PLC0415 - Ray, which few requests need

        return spread(maker, wanted, recipe.out / "clips", config)
    return make_all(maker, wanted, recipe.out / "clips")


def requests_of(config: GenerateConfig, recipe: Recipe, maker: Maker) -> list[ClipRequest]:
    """The clips that one section asks for. Raises RecipeError."""
    # torch's own count depends on what this process did before: starting Ray leaves it at 1
    threads = config.threads or (1 if config.workers else len(os.sched_getaffinity(0)))
    prompts = list(config.prompts) or held_out_captions(recipe, config.count)
    refiner = (maker.refiner.weights, maker.refiner.card) if maker.refiner else None
    lora = tuple(one.adapted for one in maker.loras)
    return requests(config, prompts, maker.card, maker.weights, threads, refiner, lora)


def make_all(maker: Maker, wanted: list[ClipRequest], folder: Path) -> int:
    """Make the clips that are not there yet."""
    missing = [r for r in wanted if not (folder / f"{r.name}.json").is_file()]
    with progress("generate", len(missing), "clips") as advance:
        for request in missing:
            make_one(maker, request, folder)
            advance(1, request.file)
    say(f"{len(wanted)} clips in {folder}, {len(missing)} of them new")
    return DONE


def make_one(maker: Maker, request: ClipRequest, folder: Path) -> None:
    """A clip with what lies beside it; its json, written last, says that it is whole."""
    path = folder / request.file
    write_beside(maker.make(request, path), path)
    write_json(path.with_suffix(".json"), describe(maker, request, path))


def describe(maker: Maker, request: ClipRequest, path: Path) -> dict[str, Any]:
    """What stands beside a film: the request that makes it again, and where it came from."""
    return {
        "prompt": request.prompt,
        "seed": request.seed,
        "request": request.model_dump(mode="json"),
        "sha256": sha256_file(path),
        "checkpoint": str(maker.folder),
        "step": maker.card["step"],
        "data": maker.card["data"],
        "code": code_version(),
        "torch": torch.__version__,
    }


def again(maker: Maker, card: Path, folder: Path) -> int:
    """Make the clip of a clip.json once more, beside the others, and compare."""
    request, before = read_request(card)
    if request.weights != maker.weights:
        raise RecipeError(
            f"{card} was made with other weights than {maker.folder}; give its checkpoint with "
            "--generate.checkpoint"
        )
    if request.lora != tuple(one.adapted for one in maker.loras):
        raise RecipeError(
            f"{card} was made with other adapters, or none; set generate.lora as it was"
        )
    if request.refiner != (maker.refiner.weights if maker.refiner else None):
        raise RecipeError(
            f"{card} was made with another refiner, or none; set generate.refiner as it was"
        )
    path = folder / request.file
    maker.make(request, path)
    write_json(path.with_suffix(".json"), describe(maker, request, path))
    if sha256_file(path) != before:
        say(f"{path} is not the film of {card}: other code, libraries or processor")
        return FAILED
    say(f"{path}: the same bytes")
    return DONE


def find_checkpoint(recipe: Recipe) -> Path:
    """The step folder to use. Raises RecipeError."""
    if not recipe.generate.checkpoint:
        fetch_newest(recipe)
    return newest_of(recipe.generate.checkpoint or recipe.out / "checkpoints", "checkpoint")


def newest_of(given: Path, field: str) -> Path:
    """A step folder, or the newest one in a folder. Raises RecipeError."""
    if checkpoint.STEP_FOLDER.fullmatch(given.name):
        return usable(given.resolve())
    found = checkpoint.newest(given)
    if found is None:
        raise RecipeError(f"there is no checkpoint in {given}; run train, or give generate.{field}")
    return usable(found.resolve())


def held_out_captions(recipe: Recipe, count: int) -> list[str]:
    """Short captions of held-out clips, for recipes without a prompt. Raises RecipeError."""
    try:
        reader = Reader(find_set(recipe.data))
    except ValueError as error:
        raise RecipeError(f"generate.prompt is empty and {error}") from error
    splits = reader.columns["split"].to_pylist()
    rows = [row for row, split in enumerate(splits) if split == "val"] or range(len(splits))
    infos = [reader.sample(row).info for row in list(rows)[:PROMPTS_FROM]]
    reader.close()
    captions = [info.get("captions", {}).get("short", "") for info in infos]
    found = list(dict.fromkeys(caption for caption in captions if caption.strip()))[:count]
    if not found:
        raise RecipeError("the shard set has no captions; give generate.prompt")
    return found


if __name__ == "__main__":
    raise SystemExit(main_verb("generate"))
