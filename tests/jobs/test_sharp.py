"""Base, keyframes and refiner in one request: sizes, what is given, and the same bytes again."""

import json
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
import torch

from benchmarks.random_shards import make_set
from curation.files import sha256_file
from curation.media_write import write_clip
from jobs.clip_request import ClipRequest, Given
from jobs.config import Recipe, RecipeError
from jobs.generate import run
from jobs.generate_config import GenerateConfig
from jobs.sharp import Refiner, enlarged, make_stills, target
from jobs.training import checkpoint
from jobs.training.loop import train_worker
from jobs.training.samples import load_decoders
from model.geometry import Geometry
from tests.embedded_vaes import save_vaes, with_vaes

pytestmark = pytest.mark.usefixtures("alone")
FRAMES, SIZE, FPS = 9, 16, 8.0
SMALL = Geometry(FRAMES, SIZE, SIZE, FPS)
LARGE = replace(SMALL, frames=17, height=2 * SIZE, width=2 * SIZE, fps=2 * FPS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """A base with keyframes and a refiner, a step each, with untrained autoencoders."""
    root = tmp_path_factory.mktemp("sharp")
    vaes = save_vaes(root / "vaes")
    make_set(root / "shards", {FRAMES: 20}, size=SIZE, channels=16, text_dim=384, val=3, sharp=1)
    stages = {"base": {"keyframes": {}}, "refiner": {"rendition": "high", "refine": REFINE}}
    for name, fields in stages.items():
        shown = {"sample_every": 1, "sample_count": 1, "sample_steps": 1}
        job = tiny(root / name, root / "shards", steps=1, checkpoint_every=1, **shown, **fields)
        train_worker({"job": with_vaes(job, vaes)})
    return root


REFINE = {"keyframes": "keyframes"}


def ask(root, words=(), **fields):
    wanted = {"prompt": "a red ball", "count": 1, "steps": 2, "refiner_steps": 2, **fields}
    config = GenerateConfig(**wanted)
    return run(Recipe(name="tiny", out=root / "base", generate=config), list(words))


def newest_clip(root):
    clips = (root / "base" / "clips").glob("*.mp4")
    return max(clips, key=lambda path: path.stat().st_mtime_ns)


def shown(path):
    with av.open(str(path)) as box:
        frames = [f.to_ndarray(format="rgb24") for f in box.decode(video=0)]
        return np.stack(frames), float(box.streams.video[0].average_rate)


@pytest.mark.slow
def test_a_refiner_makes_clips_large_and_again_the_same(trained):
    """Catches a refiner that is not asked, that loses the sound, or that no json makes again."""
    assert ask(trained) == 0
    small = newest_clip(trained)
    assert shown(small)[0].shape == (FRAMES, SIZE, SIZE, 3)
    assert json.loads(small.with_suffix(".json").read_text())["request"]["refiner"] is None
    refiner = trained / "refiner" / "checkpoints"
    assert ask(trained, refiner=refiner) == 0
    large = newest_clip(trained)
    pixels, rate = shown(large)
    assert large != small
    assert pixels.shape == (17, 2 * SIZE, 2 * SIZE, 3)
    assert rate == 2 * FPS
    card, before = large.with_suffix(".json"), sha256_file(large)
    assert ask(trained, words=[str(card)], refiner=refiner) == 0
    assert sha256_file(large) == before
    with pytest.raises(RecipeError, match="another refiner"):
        ask(trained, words=[str(card)])
    with pytest.raises(RecipeError, match="is no refiner"):
        ask(trained, refiner=trained / "base" / "checkpoints")


@pytest.mark.slow
def test_what_is_given_is_given_at_the_large_size_too(trained, tmp_path):
    """Catches an image that the refiner makes anew, or that it sees only through the base."""
    rows = np.linspace(0, 255, 2 * SIZE).astype(np.uint8)
    image = np.repeat(np.repeat(rows[:, None], 2 * SIZE, 1)[..., None], 3, 2)
    cv2.imwrite(str(tmp_path / "first.png"), image)
    assert ask(trained, image=tmp_path / "first.png", refiner=trained / "refiner/checkpoints") == 0
    first = shown(newest_clip(trained))[0][0].astype(int)
    assert np.abs(first - image).mean() < 4, "but for the mp4's own coding"


@pytest.mark.slow
def test_samples_of_training_have_the_trained_size(trained):
    """Catches sample clips of a refiner that are small, or that a stage cannot make."""
    for name, shape in (("base", (FRAMES, SIZE)), ("refiner", (17, 2 * SIZE))):
        pixels, _ = shown(trained / name / "samples" / "step-00000001" / "00.mp4")
        assert pixels.shape[:2] == shape


def test_files_keep_their_instants_at_another_rate(tmp_path):
    """Catches a film that is continued from another frame in the large clip than in the small."""
    pixels = np.zeros((40, 32, 32, 3), np.uint8)
    write_clip(tmp_path / "film.mp4", pixels, 16.0, np.zeros((1, 40_000), np.float32), 16_000)
    facts = {"path": tmp_path / "film.mp4", "sha256": sha256_file(tmp_path / "film.mp4")}

    def large(**fields):
        given = Given(field="x", **facts, **fields)
        names = ("frames", "height", "width", "fps")
        request = ClipRequest(
            prompt="", seed=0, weights="", steps=1, guidance_video=1, guidance_audio=1, shift=1,
            device="cpu", threads=1, given=(given,), **{n: getattr(SMALL, n) for n in names},
        )  # fmt: skip
        (moved,) = enlarged(request, SMALL, LARGE).given
        return moved.at, moved.frames, moved.start

    assert large(role="frame", at=8)[:2] == (16, 1)
    assert large(role="frame", at=3)[:2] == (6, 1)
    assert large(role="clip", at=0, frames=5, start=None) == (0, 9, pytest.approx(2.5 - 5 / 8))
    assert large(role="clip", at=5, frames=4, start=0.0) == (9, 8, 0.0)
    assert large(role="source", frames=9, start=0.25) == (0, 17, 0.25)


@pytest.mark.slow
def test_sizes_follow_what_was_trained(trained):
    """Catches a refiner that only makes clips of the size that it was trained on."""
    base = checkpoint.read_weights(checkpoint.newest(trained / "base" / "checkpoints"))
    folder = checkpoint.newest(trained / "refiner" / "checkpoints")
    refiner = Refiner(folder, base.card, torch.device("cpu"))
    wide = replace(SMALL, frames=33, width=48, fps=12.0)
    assert target(refiner.card, wide) == replace(wide, frames=65, height=32, width=96, fps=24.0)
    decoders = load_decoders(base.card)
    request = ClipRequest(
        prompt="", seed=0, weights="", steps=1, guidance_video=1, guidance_audio=1, shift=1,
        device="cpu", threads=1, frames=33, height=16, width=48, fps=12.0,
    )  # fmt: skip
    stills = make_stills(base.card, decoders, request, wide)
    assert stills.geometry.video_shape == (16, 5, 4, 12)
    assert stills.geometry.video_times().tolist() == [0.25, 0.75, 1.25, 1.75, 2.25]
    short = replace(SMALL, frames=1)
    assert make_stills(base.card, decoders, request, short) is None
