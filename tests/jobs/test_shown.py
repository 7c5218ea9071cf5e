"""From films to a clip with a multimodal text encoder, and what it is shown of a request."""

import json
import shutil

import cv2
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from curation.files import sha256_file
from jobs.config import Recipe, RecipeError
from jobs.generate import run
from jobs.generate_config import GenerateConfig
from jobs.training.loop import train_worker
from pipelines.contract import find_set, read_contract
from pipelines.encode import encode
from pipelines.encode_config import MLLMConfig
from pipelines.storage import DataRoot
from tests.embedded_vaes import save_vaes
from tests.encode_films import CONFIG, INPUTS, fill_ledger, write_film
from tests.tiny_omni import HIDDEN, save_tiny_omni

pytestmark = pytest.mark.usefixtures("alone")
READS = {"layer": -2, "instruction": "Describe the clip.", "max_tokens": 64, "dtype": "float32"}
FAST = {"lr": 0.03, "ema": 0.0, "warmup": 1}  # or text would not yet reach a film's bytes


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """Latents and captions of a film, encoded with a tiny Omni; two steps of training on them."""
    root = tmp_path_factory.mktemp("shown")
    write_film(root / "films" / "0.mp4", 0)
    model, _ = save_tiny_omni(root / "omni")
    vaes = str(save_vaes(root / "vaes"))
    out = root / "out"
    fill_ledger(DataRoot(out / "data"), root / "films")
    config = CONFIG.model_copy(
        update={"text": ("short",), "text_encoder": str(model), "video_vae": vaes}
        | {"audio_vae": vaes, "text_mllm": MLLMConfig(**READS)}
    )
    encode(DataRoot(out / "data"), config, INPUTS)
    shards = find_set(DataRoot(out / "data"))
    captions = {"short": 1, "long": 0, "structured": 0}
    job = tiny(out, shards, steps=2, global_batch=2, captions=captions, **FAST)
    train_worker({"job": job})
    return root


def ask(root, **fields):
    config = GenerateConfig(
        **{"prompt": "a red ball", "count": 1, "steps": 1, "threads": 1, **fields}
    )
    assert run(Recipe(name="tiny", out=root / "out", generate=config), []) == 0
    films = (root / "out" / "clips").glob("*.mp4")
    return max(films, key=lambda path: path.stat().st_mtime_ns)


def test_the_encoder_that_made_the_shards_makes_the_clip(trained):
    """Catches a contract that forgets layer or template, and another encoder that is taken."""
    contract = read_contract(find_set(DataRoot(trained / "out" / "data")))
    assert contract["text"]["dim"] == HIDDEN
    assert contract["text"]["reading"] == READS
    film = ask(trained, seed=1)
    before = sha256_file(film)
    recipe = Recipe(name="tiny", out=trained / "out")
    assert run(recipe, [str(film.with_suffix(".json"))]) == 0
    assert sha256_file(film) == before
    weights = trained / "omni" / "model.safetensors"
    kept = shutil.copy(weights, trained / "kept")
    tensors = {k: v * 1.5 for k, v in load_file(weights).items()}
    try:
        save_file(tensors, weights, metadata={"format": "pt"})
        with pytest.raises(RecipeError, match=r"text encoder '.*omni' here is \w+, not the one of"):
            run(recipe, [str(film.with_suffix(".json"))])
    finally:
        shutil.move(kept, weights)


def test_references_are_shown_to_the_encoder_where_that_is_asked(trained, tmp_path):
    """Catches references that the encoder never meets, or a clip.json that forgets them."""
    for name, value in (("dark", 30), ("light", 220)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((56, 84, 3), value, np.uint8))
    film = str(trained / "films" / "0.mp4")
    given = {"image_1": str(tmp_path / "dark.png"), "video_1": film, "Audio-0": film}
    words = "the grey of @image_1 moves as in @video_1 with @Audio-0"
    plain = ask(trained, prompt=words, references=given)
    shown = ask(trained, prompt=words, references=given, show_references=True)
    assert sha256_file(plain) != sha256_file(shown)
    assert "show_references" not in plain.name
    request = json.loads(shown.with_suffix(".json").read_text())["request"]
    assert request["show_references"] is True
    before = sha256_file(shown)
    card = str(shown.with_suffix(".json"))
    assert run(Recipe(name="tiny", out=trained / "out"), [card]) == 0
    assert sha256_file(shown) == before
    with pytest.raises(ValueError, match="there are none to show"):
        GenerateConfig(show_references=True)
