"""What is seen: names and features by EfficientNet, and by an open_clip model from a file."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from curation.assets import MissingModelError
from curation.judges.config import ClipModel
from curation.judges.things import Things, load_clip, load_head, middle

ROOT = Path(__file__).parents[3]
NEEDED = ("open-clip-torch==3.3.0", "torchvision==0.28.0", "timm==1.0.31", "ftfy==6.3.1",
          "wcwidth==0.2.14", "regex")  # fmt: skip
TINY = """
import json, sys
from pathlib import Path
import numpy as np, torch
from safetensors.torch import save_file
from curation.judges.config import ClipModel
from curation.captions.agreement import Scorer
from curation.judges.things import load_clip, make_torchvision_importable
from curation.judges.vectors import pack
make_torchvision_importable()
make_torchvision_importable()
import open_clip
folder = Path(sys.argv[1])
sight = {"image_size": 64, "layers": 1, "width": 64, "patch_size": 32}
words = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
net = {"embed_dim": 32, "vision_cfg": sight, "text_cfg": words}
(folder / "Tiny-1.json").write_text(json.dumps(net))
open_clip.add_model_config(folder / "Tiny-1.json")
torch.manual_seed(0)
model = open_clip.create_model("Tiny-1")
save_file(model.state_dict(), folder / "tiny.safetensors")
save_file({"weight": torch.ones(1, 32), "bias": torch.tensor([5.0])}, folder / "head.safetensors")
config = ClipModel(name="Tiny-1", weights=str(folder / "tiny.safetensors"),
                   head=str(folder / "head.safetensors"))
clip = load_clip(config, ["cat", "dog", "house"])
stills = np.random.default_rng(0).integers(0, 255, (3, 90, 160, 3)).astype(np.uint8)
seen = clip(stills)
from PIL import Image
_, _, prepare = open_clip.create_model_and_transforms("Tiny-1", pretrained=config.weights)
with torch.inference_mode():
    truth = model.eval().encode_image(prepare(Image.fromarray(stills[1]))[None])[0].numpy()
scorer = Scorer(ClipModel(name="Tiny-1", weights=config.weights))
words = {"provenance": "sidecar", "structured": "<text>A cat sits. It sleeps.</text>"}
scored = scorer(words, {"embedding": pack(seen.vector)})
tokens = open_clip.get_tokenizer("Tiny-1")(["A cat sits.", "It sleeps."])
with torch.inference_mode():
    said = torch.nn.functional.normalize(model.encode_text(tokens), dim=1).numpy()
print(json.dumps({
    "scored": scored, "agrees": float((said @ seen.vector).mean()),
    "features": list(seen.features.shape), "sum": float(seen.probabilities.sum()),
    "cosine": float(seen.features[1] @ truth / np.linalg.norm(truth)),
    "aesthetic": clip.aesthetic(stills), "expected": float(seen.features.sum(axis=1).mean() + 5),
}))
"""


def test_the_middle_is_a_square_of_the_picture():
    """A film squeezed into a square, whose people are then thin."""
    picture = np.zeros((90, 160, 3), np.uint8)
    picture[:, 35:125] = 255
    square = middle(picture)
    assert square.shape == (224, 224, 3)
    assert square.min() == 255


def test_names_are_ranked_by_probability():
    """Tags in the order of the alphabet."""
    things = Things(np.eye(2, 3, dtype=np.float32), np.array([0.1, 0.7, 0.2]), ["a", "b", "c"])
    assert things.best(2) == [("b", 0.7), ("c", 0.2)]
    assert np.linalg.norm(things.vector) == pytest.approx(1)


def test_a_wrong_clip_is_refused_by_field(tmp_path):
    """A download, or a trace from inside open_clip, for a file that is not there."""
    with pytest.raises(ValueError, match=r"judge\.clip\.weights"):
        load_clip(ClipModel(name="ViT-B-32", weights=str(tmp_path / "none")), [])
    if importlib.util.find_spec("open_clip") is None:
        (tmp_path / "some").write_bytes(b"x")
        with pytest.raises(MissingModelError, match=r"\[clip\]"):
            load_clip(ClipModel(name="ViT-B-32", weights=str(tmp_path / "some")), [])


def test_a_head_of_another_width_is_refused(tmp_path):
    """An aesthetic head for another model, whose numbers mean nothing."""
    path = tmp_path / "head.safetensors"
    save_file({"weight": np.ones((1, 8), np.float32), "bias": np.zeros(1, np.float32)}, path)
    weight, bias = load_head(str(path), 8)
    assert (weight.shape, bias) == ((8,), 0.0)
    with pytest.raises(ValueError, match=r"judge\.clip\.head"):
        load_head(str(path), 512)


@pytest.mark.slow
def test_an_open_clip_model_from_a_file(tmp_path):
    """The real choice, which no one here ever ran: open_clip with the weights of a file.

    Its packages lie in a folder of their own: torchvision must not come into this environment.
    """
    library = tmp_path / "library"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*command, str(library), *NEEDED], check=True, timeout=600)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{library}"}
    done = subprocess.run(
        [sys.executable, "-c", TINY, str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["features"] == [3, 32]
    assert found["sum"] == pytest.approx(1, abs=1e-5)
    assert found["cosine"] == pytest.approx(1, abs=1e-4)
    assert found["aesthetic"] == pytest.approx(found["expected"], abs=1e-4)
    assert found["scored"]["caption_picture"] == pytest.approx(found["agrees"], abs=1e-3)
    assert found["scored"]["caption_scorer"] == "open_clip Tiny-1"
