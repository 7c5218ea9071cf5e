"""From recipe and shard set to the job that every worker gets; a misfit is refused here."""

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from curation.places import Place
from jobs.config import RESOLVED, Recipe, RecipeError, code_version, recipe_text
from jobs.training import distil, lora
from jobs.training.config import FREE, TrainConfig
from jobs.training.copies import copies_of
from jobs.training.cost import sample_cost
from jobs.training.run import Job, granularity
from jobs.training.start import StartError, freeze, planned
from jobs.training.track import Parent, Target
from model.config import ModelConfig, named_config
from model.geometry import Geometry
from model.mmdit import MMDiT
from pipelines.contract import bucket_geometry, read_contract
from pipelines.stream import Stream


def make_job(recipe: Recipe, shards: Place) -> Job:
    """What every worker gets, checked against the contract. Raises RecipeError naming the field."""
    config = recipe.train
    try:
        contract = read_contract(shards)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    model = model_config(config, contract)
    config, teacher = with_teacher(anchored(with_steps(recipe, model, shards)), model)
    check_start(config, model)
    return Job(
        out=str(recipe.out.resolve()),
        shards=str(shards),
        seed=recipe.seed,
        config=config,
        model=model,
        card={
            "model": model.to_json(),
            "rendition": config.rendition,
            "buckets": {name: rendition_of(contract, name, config) for name in contract["buckets"]},
            **sharp_card(contract, config),
            **distil.card_of(config),
            **{key: contract[key] for key in ("video_vae", "audio_vae", "text")},
            "data": contract["fingerprint"],
            "recipe": recipe.name,
            "code": code_version(),
        },
        identity=identity(recipe, contract, model) | teacher,
        texts=prompt_features(config, contract),
        copies=copies_of(recipe),
    )


def model_config(config: TrainConfig, contract: dict[str, Any]) -> ModelConfig:
    """The model that fits the shards' latents. Raises RecipeError naming the field."""
    for name in contract["buckets"]:
        rendition_of(contract, name, config)
    from_data = {
        "video_channels": contract["video_vae"]["spec"]["channels"],
        "audio_channels": contract["audio_vae"]["spec"]["channels"],
        "text_dim": contract["text"]["dim"],
    }
    for field, value in from_data.items():
        if config.model.get(field, value) != value:
            raise RecipeError(
                f"train.model.{field} is {config.model[field]}, the shard set has {value}; "
                "leave the field out"
            )
    asked = {"keyframes": True} if config.keyframes else {}
    if config.refine:  # what it is given stands where nothing is kept
        asked = {"sound": False, "blank_zero": False}
    try:
        return named_config(config.size, **{**config.model, **from_data, **asked})
    except (TypeError, ValueError) as error:
        raise RecipeError(f"train.size or train.model: {error}") from error


def with_steps(recipe: Recipe, model: ModelConfig, shards: Place) -> TrainConfig:
    """The settings with `epochs` as steps of this shard set. Raises RecipeError."""
    config = recipe.train
    if config.epochs is None:
        return config
    cost = sample_cost(model, config)
    try:
        stream = Stream(
            shards, recipe.seed, config.global_batch, cost=cost, granularity=granularity(config)
        )
    except ValueError as error:
        raise RecipeError(str(error)) from error
    with closing(stream.reader):
        steps = math.ceil(config.epochs * config.epoch_scale * stream.length(0))
    return config.model_copy(update={"steps": max(1, steps)})


def anchored(config: TrainConfig) -> TrainConfig:
    """The settings with what a run begins with named from the root: workers run elsewhere."""
    if not config.init.path:
        return config
    path = str(Path(config.init.path).resolve())
    return config.model_copy(update={"init": config.init.model_copy(update={"path": path})})


def with_teacher(config: TrainConfig, model: ModelConfig) -> tuple[TrainConfig, dict[str, str]]:
    """The settings with the teacher's step folder, from which a student begins too where nothing
    else is said, and what a resumed run must share of it. Raises RecipeError.
    """
    if config.distil is None:
        return config, {}
    try:
        weights = distil.check(config, model)
        folder = str(distil.folder_of(config.distil))
    except StartError as error:
        raise RecipeError(str(error)) from error
    start = config.init if config.init.path else config.init.model_copy(update={"path": folder})
    taught = config.distil.model_copy(update={"teacher": folder})
    return config.model_copy(update={"distil": taught, "init": start}), {"teacher": weights}


def check_start(config: TrainConfig, model: ModelConfig) -> None:
    """Refuse weights and frozen parts that do not fit the model. Raises RecipeError."""
    with torch.device("meta"):
        empty = MMDiT(model)
    try:
        freeze(empty, config.freeze)
        if config.init.path:
            planned(empty, config.init)
        if config.lora:
            lora.check(empty, config)
    except StartError as error:
        raise RecipeError(str(error)) from error


def rendition_of(contract: dict[str, Any], bucket: str, config: TrainConfig) -> dict[str, Any]:
    """Size and rate of the trained rendition in a bucket. Raises RecipeError."""
    renditions = bucket_geometry(contract, bucket)
    if config.rendition not in renditions:
        raise RecipeError(
            f"train.rendition is {config.rendition!r}, the shard set has {', '.join(renditions)}"
        )
    shape = renditions[config.rendition]
    return {
        **size_of(shape),
        "train": contract["buckets"][bucket]["train"],
    }


def sharp_card(contract: dict[str, Any], config: TrainConfig) -> dict[str, Any]:
    """What a card says of keyframes or of what is refined, by bucket. Raises RecipeError."""
    card: dict[str, Any] = {}
    for bucket in contract["buckets"]:
        shapes = bucket_geometry(contract, bucket)
        target = shapes[config.rendition]
        if config.keyframes:
            joint = config.keyframes.rendition
            check_stills(shapes, joint, "train.keyframes.rendition", target)
            card.setdefault("keyframes", {})[bucket] = size_of(shapes[joint])
        if config.refine:
            low, name = config.refine.low, config.refine.keyframes
            if low not in shapes:
                raise RecipeError(
                    f"train.refine.low is {low!r}, the shard set has {', '.join(shapes)}"
                )
            if name is not None:
                check_stills(shapes, name, "train.refine.keyframes", target)
                if shapes[name].video_shape[2:] != target.video_shape[2:]:
                    raise RecipeError(
                        f"train.refine.keyframes: {name!r} must be as large as {config.rendition!r}"
                    )
            found = {"low": size_of(shapes[low])}
            found |= {} if name is None else {"keyframes": size_of(shapes[name])}
            card.setdefault("refine", {})[bucket] = found
    return card


def check_stills(shapes: dict[str, Geometry], name: str, field: str, video: Geometry) -> None:
    """Raise RecipeError unless a rendition is there and has a latent a frame."""
    if name not in shapes:
        raise RecipeError(f"{field} is {name!r}, the shard set has {', '.join(shapes)}")
    if shapes[name].video.time != 1 or video.video.time == 1:
        raise RecipeError(
            f"{field}: encode {name!r} with stills: true, {field} needs single frames"
        )


def size_of(shape: Geometry) -> dict[str, Any]:
    """Frames, size and rate, as plain values."""
    return {name: getattr(shape, name) for name in ("frames", "height", "width", "fps")}


def identity(recipe: Recipe, contract: dict[str, Any], model: ModelConfig) -> dict[str, Any]:
    """What the two halves of a resumed run must share, by dotted recipe field."""
    fields = recipe.train.model_dump(
        mode="json", exclude={**dict.fromkeys(FREE, True), "distil": {"teacher"}}
    )  # a teacher is its weights, wherever they lie
    return {
        "seed": recipe.seed,
        "data": contract["fingerprint"],
        "model": model.to_json(),
        **{f"train.{name}": value for name, value in fields.items()},
    }


def prompt_features(config: TrainConfig, contract: dict[str, Any]) -> tuple[Any, ...]:
    """Text features of the sample prompts, from the encoder that made the shards."""
    if not (config.sample_every and config.sample_prompts):
        return ()
    from pipelines.text_encoder import encoder_of  # noqa: PLC0415 - seconds, and seldom needed

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        encoder = encoder_of(contract["text"], "the shard set", device)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    return tuple(encoder.encode(list(config.sample_prompts)))


def target(recipe: Recipe, job: Job, parent: Parent | None = None) -> Target:
    """What MLflow is told about the run; a stage's stands below its chain's."""
    return Target(
        uri=recipe.tracking_uri,
        experiment=parent.name if parent else recipe.name,
        name=f"train {recipe.name}",
        out=Path(job.out),
        params={
            **{k: str(v) for k, v in job.identity.items() if k != "model"},
            **{f"model.{k}": str(v) for k, v in job.card["model"].items()},
            "code": job.card["code"],
        },
        texts={
            RESOLVED: recipe_text(recipe),
            "contract.fingerprint": job.card["data"],
        },
        parent=parent,
    )
