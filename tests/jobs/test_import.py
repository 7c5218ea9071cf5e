"""`reelmill import`: a donor on disk, its autoencoder, then a clip by our own sampler."""

import importlib
import json
from dataclasses import replace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideo15Transformer3DModel

from curation.media import Limits, MediaReader
from jobs import generate
from jobs.cli import DONE, WRONG_REQUEST, main
from jobs.clip_request import requests
from jobs.clips import Sampling, Scene, sample
from jobs.config import RecipeError, make_recipe
from jobs.maker import Maker
from jobs.training import checkpoint
from jobs.training.config import TrainConfig
from jobs.training.start import start_from
from model.config import ModelConfig, named_config
from model.guidance import Guidance
from model.mmdit import MMDiT
from model.noise import Draw
from tests.tiny_vaes import save_video

WORDS = "a red ball falls"
verb = importlib.import_module("jobs.import")  # a keyword of Python


@pytest.fixture(scope="module")
def donor(tmp_path_factory):
    """A pipeline's folder: transformer and autoencoder, random weights, MiniLM's text width."""
    root = tmp_path_factory.mktemp("donor")
    torch.manual_seed(5)
    network = HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        num_refiner_layers=1,
        rope_axes_dim=(4, 6, 6),
        text_embed_dim=384,
        text_embed_2_dim=10,
        image_embed_dim=14,
    )
    network.eval().save_pretrained(root / "transformer")
    save_video(root / "vae", "hunyuan")
    return root


@pytest.fixture(scope="module")
def recipe(donor, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    values = {
        "name": "imported",
        "out": str(out),
        "encode": {
            "video_vae": str(donor),
            "renditions": [{"name": "base", "height": 32, "width": 48, "fps": 24, "frames": 5}],
        },
        "generate": {"prompt": WORDS, "count": 1, "steps": 3, "guidance_video": 1.0, "threads": 1},
    }
    made = make_recipe(values, "a test")
    assert verb.run(made, [str(donor)]) == DONE
    chosen = made.generate.model_copy(update={"checkpoint": out / "donor"})
    return made.model_copy(update={"generate": chosen})


def test_our_sampler_makes_what_the_donors_scheduler_makes(recipe, donor):
    """Catches an imported tower that is asked at other times, in other units or with other text."""
    maker = Maker(generate.find_checkpoint(recipe), "cpu")
    request = requests(recipe.generate, [WORDS], maker.card, maker.weights, 1)[0]
    geometry = request.geometry(maker.card)
    text = maker.text.encode([WORDS])[0]
    scene = Scene(geometry, text, Draw(0, "clip", 0), silent=True)
    sampling = Sampling(3, Guidance(1.0, 1.0))
    got = sample(maker.model, scene, maker.decoders.black(geometry), sampling).picture
    theirs = HunyuanVideo15Transformer3DModel.from_pretrained(donor / "transformer").eval()
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1.0, 2 / 3, 1 / 3])
    z = scene.draw.normal("video", geometry.video_shape)[None]
    for step in scheduler.timesteps:
        with torch.no_grad():
            velocity = theirs(
                torch.cat([z, torch.zeros_like(z), torch.zeros_like(z[:, :1])], dim=1),
                timestep=step[None],
                encoder_hidden_states=text[None],
                encoder_attention_mask=torch.ones(1, len(text)),
                encoder_hidden_states_2=torch.zeros(1, 3, 10),
                encoder_attention_mask_2=torch.zeros(1, 3),
                image_embeds=torch.zeros(1, 4, 14),
                return_dict=False,
            )[0]
        z = scheduler.step(velocity, step, z).prev_sample
    torch.testing.assert_close(got, z[0], rtol=0, atol=1e-4)


def test_a_clip_is_made_end_to_end(recipe):
    """Catches an imported checkpoint that `generate` cannot read, decode or write."""
    assert generate.run(recipe, []) == DONE
    path = next((recipe.out / "clips").glob("*.mp4"))
    with MediaReader(Limits()) as reader:
        film, sound = reader.frames(path), reader.sound(path)
    assert film.pixels.shape == (5, 32, 48, 3)
    assert abs(sound.samples).max() < 1e-3, "a tower that nobody trained is heard"
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["step"] == 0


def test_training_begins_with_the_donor(recipe):
    """Catches a printed recipe whose model the imported weights do not fit."""
    folder = recipe.out / "donor/step-00000000"
    found = checkpoint.read_weights(folder)
    config = ModelConfig(**found.card["model"])
    section = verb.training(replace(config, rope_split=(16, 56, 56)), folder)
    printed = TrainConfig(**section)
    channels = {name: getattr(config, name) for name in verb.NOT_SAID}
    rebuilt = named_config(printed.size, **printed.model, **{**channels, "sound": True})
    model = MMDiT(rebuilt)
    new = start_from(model, printed.init)
    assert all("audio" in name for name in new), "only what sound needs is new"
    weights = model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in found.tensors.items())


def test_what_does_not_fit_the_recipe_is_refused(recipe, donor, tmp_path, capsys):
    """Catches a donor beside an autoencoder whose latents it has never seen."""
    values = {"name": "x", "out": str(tmp_path), "encode": {"video_vae": "embedded"}}
    with pytest.raises(RecipeError, match="16 channels, the donor reads 4"):
        verb.run(make_recipe(values, "a test"), [str(donor)])
    assert not (tmp_path / "donor").exists()
    (tmp_path / "r.yaml").write_text(f"name: x\nout: {tmp_path}\n")
    assert main(["import", str(tmp_path / "r.yaml"), str(tmp_path / "no")]) == WRONG_REQUEST
    assert "no donor at" in capsys.readouterr().err
