"""Make an open video model our picture tower: `<out>/donor/step-00000000`, a checkpoint like any.

  reelmill import recipe.yaml DONOR

DONOR is a folder that diffusers saved (of the pipeline, or of its transformer) or a hub id:
HunyuanVideo or HunyuanVideo 1.5. Autoencoders, text encoder and size are the recipe's
(`encode.video_vae` takes the same folder or id). Before training the tower gives the donor's
velocity; what is new starts at zero (docs/model.md). `generate.checkpoint: <out>/donor` makes clips
with it, picture alone; `train.init.path: <out>/donor/step-00000000` trains from it, with the size
and model fields that are printed at the end and a new tower for sound.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from curation.files import write_json
from curation.progress import say
from jobs.cli import DONE, main_verb
from jobs.config import Recipe, RecipeError, code_version
from jobs.training import checkpoint
from model.config import SIZES, ModelConfig
from model.donor_files import Donor, load_donor
from model.donors import DONORS
from model.geometry import Geometry
from model.mmdit import MMDiT
from model.vae import load_audio_vae, load_video_vae
from pipelines.encode_config import text_card
from pipelines.text_encoder import open_text_encoder

SECTIONS = ("encode",)
NEW = "new weights"  # in the card: names that no donor gave
NEAREST = "13b"
NOT_SAID = ("video_channels", "audio_channels", "text_dim", "sound")  # from data; to be trained


def run(recipe: Recipe, words: list[str]) -> int:
    """Read the donor, check it against the recipe, write the checkpoint. Raises RecipeError."""
    if len(words) != 1:
        raise RecipeError("import takes one donor: a folder that diffusers saved, or a hub id")
    try:
        card = makers(recipe)
        channels = card["audio_vae"]["spec"]["channels"]
        donor = load_donor(words[0], audio_channels=channels, sound=False)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    fits(donor.config, card)
    folder = write(recipe, donor, card, words[0])
    c = donor.config
    say(f"{folder}: {DONORS[donor.kind]}, {c.width} wide, {c.dual} dual, {c.single} single blocks")
    say(f"to make clips: --generate.checkpoint {folder.parent}")
    say(f"to train: {json.dumps({'train': training(c, folder)})}")
    return DONE


def training(config: ModelConfig, folder: Path) -> dict[str, Any]:
    """The part of a recipe that trains what was imported, with a tower for sound."""
    near = SIZES[NEAREST]
    changed = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if getattr(config, field.name) != getattr(near, field.name) and field.name not in NOT_SAID
    }
    return {"size": NEAREST, "model": changed, "init": {"path": str(folder)}}


def makers(recipe: Recipe) -> dict[str, Any]:
    """Autoencoders, text encoder and size of the recipe, as a card says them. Raises ValueError."""
    config = recipe.encode
    video, audio = load_video_vae(config.video_vae), load_audio_vae(config.audio_vae)
    text = open_text_encoder(config.text_encoder, config.text_mllm)
    first = config.renditions[0]
    size = Geometry(
        first.frames, first.height, first.width, first.fps, video.spec, audio.spec
    )  # raises where the autoencoder has other strides
    shape = {name: getattr(size, name) for name in ("frames", "height", "width", "fps")}
    return {
        "rendition": first.name,
        "buckets": {size.bucket: {**shape, "train": 0}},
        "video_vae": {
            "name": config.video_vae,
            "fingerprint": video.fingerprint,
            "spec": vars(video.spec),
        },
        "audio_vae": {
            "name": config.audio_vae,
            "fingerprint": audio.fingerprint,
            "spec": vars(audio.spec),
        },
        "text": text_card(config, text.fingerprint, text.dim),
    }


def fits(config: ModelConfig, card: dict[str, Any]) -> None:
    """Raise RecipeError where the donor reads other latents or other text than the recipe makes."""
    channels = card["video_vae"]["spec"]["channels"]
    if channels != config.video_channels:
        raise RecipeError(
            f"encode.video_vae makes latents of {channels} channels, the donor reads "
            f"{config.video_channels}; give the donor's own autoencoder"
        )
    if card["text"]["dim"] != config.text_dim:
        raise RecipeError(
            f"encode.text_encoder gives {card['text']['dim']} channels, the donor reads "
            f"{config.text_dim}; give the donor's own text encoder"
        )


def write(recipe: Recipe, donor: Donor, card: dict[str, Any], name: str) -> Path:
    """The checkpoint of step 0."""
    torch.manual_seed(recipe.seed)  # what is new and not zero
    model = MMDiT(donor.config)
    lacking, strange = model.load_state_dict(donor.weights, strict=False)
    assert not strange, f"no place for {strange[0]}"
    tensors = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
    whole = {
        **card,
        "model": donor.config.to_json(),
        "donor": {"name": name, "class": donor.kind, "fingerprint": donor.fingerprint},
        NEW: sorted(lacking),
        "data": donor.fingerprint,
        "recipe": recipe.name,
        "code": code_version(),
        "step": 0,
    }

    def files(folder: Path) -> None:
        save_file(tensors, folder / "ema.safetensors")
        write_json(folder / "model.json", whole)

    return checkpoint.commit(recipe.out / "donor", 0, files, keep=1)


if __name__ == "__main__":
    raise SystemExit(main_verb("import"))
