"""Training with keyframes, and of a refiner: what the step is given and what is refused."""

from dataclasses import replace

import pytest
import torch

from benchmarks.random_shards import make_set
from jobs.config import RecipeError
from jobs.training import checkpoint
from jobs.training.config import Refine, TrainConfig
from jobs.training.curves import curves
from jobs.training.run import begin
from jobs.training.step import losses, make_batch, weighted
from jobs.training.tasks import counts
from model.mmdit import MMDiT
from model.refiner import upsampled
from pipelines.stream import Cursor

pytestmark = pytest.mark.usefixtures("alone")
REFINE = {"low": "base", "keyframes": "keyframes", "dropped": 0.5, "noise": 0.2}


@pytest.fixture(scope="module")
def sharp(tmp_path_factory):
    """A shard set with three renditions."""
    folder = tmp_path_factory.mktemp("sharp")
    make_set(folder, {9: 24}, val=3, sharp=1)
    return folder


@pytest.fixture(scope="module")
def joint(tmp_path_factory, sharp, tiny):
    out = tmp_path_factory.mktemp("joint")
    return begin(tiny(out, sharp, keyframes={"rendition": "keyframes", "weight": 0.5}))


@pytest.fixture(scope="module")
def refining(tmp_path_factory, sharp, tiny):
    out = tmp_path_factory.mktemp("refining")
    return begin(tiny(out, sharp, rendition="high", refine=REFINE))


def first_batch(run):
    return next(run.stream.batches(Cursor()))[1]


def awake(run):
    torch.manual_seed(0)
    model = MMDiT(run.job.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    return model


def test_keyframes_are_denoised_with_their_clip(joint):
    """Catches keyframes at another noise level, on another clock, or that no loss counts."""
    samples, model = first_batch(joint), awake(joint)
    batch = make_batch(samples, joint.objective, joint.job.model, audio=True)
    keys = batch.video.keyframes
    clean = torch.stack([s.videos["keyframes"] for s in samples]).float()
    noise = clean - batch.keyframes_target
    t = batch.video.t[:, None, None, None, None]
    torch.testing.assert_close(keys.latent, t * clean + (1 - t) * noise)
    assert keys.times.tolist() == [0.25, 0.75]
    found, total = losses(model, batch), counts(samples, joint.objective)
    assert (found.keyframes > 0).all()
    parts = found.video.sum() / total.pictures + found.audio.sum() / total.sounds
    expected = parts + 0.5 * found.keyframes.sum() / total.pictures
    assert weighted(found, joint.objective.config, total).item() == pytest.approx(expected.item())
    assert curves(found, batch)["loss/keyframes"][1] == len(samples)
    picture = 3 * 1 * 1 + 2 * 2 * 2
    assert batch.work.tokens >= len(samples) * (picture + samples[0].geometry.audio_latents)
    alone = losses(model, make_batch(samples[:1], joint.objective, joint.job.model, audio=True))
    assert alone.keyframes.item() == pytest.approx(found.keyframes[0].item(), rel=1e-5)


def test_a_given_beginning_gives_its_keyframes(joint):
    """Catches keyframes that must be guessed although their instant is given."""
    samples = first_batch(joint)
    mix = dict.fromkeys(joint.objective.config.tasks.model_dump(), 0.0) | {"video_to_audio": 1.0}
    tasks = type(joint.objective.config.tasks)(**mix)
    config = joint.objective.config.model_copy(update={"tasks": tasks})
    heard = [s for s in samples if s.audio is not None]
    batch = make_batch(heard, replace(joint.objective, config=config), joint.job.model, audio=True)
    clean = torch.stack([s.videos["keyframes"] for s in heard]).float()
    assert torch.equal(batch.video.keyframes.condition, clean)
    assert torch.equal(batch.video.keyframes.latent, clean), "wholly given: no noise"
    assert curves(losses(awake(joint), batch), batch)["loss/keyframes"][1] == 0


def test_a_refiner_is_given_the_small_clip_with_keyframes_in_place(refining):
    """Catches a refiner that trains on the answer, on black, or without its keyframes."""
    samples, objective = first_batch(refining), refining.objective
    shapes = samples[0].shapes
    clear = replace(
        objective,
        config=objective.config.model_copy(
            update={"refine": Refine(**(REFINE | {"noise": 0.0, "dropped": 0.0}))}
        ),
    )
    batch = make_batch(samples, clear, refining.job.model, audio=False)
    low = torch.stack([s.videos["base"] for s in samples]).float()
    keys = torch.stack([s.videos["keyframes"] for s in samples]).float()
    clean = torch.stack([s.videos["high"] for s in samples]).float()
    coarse = upsampled(low, shapes["base"], shapes["high"])
    kept = batch.video.mask.bool().expand_as(clean)
    at = [1, 3]  # 0.25 s and 0.75 s are frames 4 and 12 of 17
    free = ~kept[:, :, at]
    given = batch.video.condition
    assert torch.equal(given[kept], clean[kept]), "kept regions hold their source"
    assert torch.equal(given[:, :, at][free], keys[free])
    others = [0, 2, 4]
    free = ~kept[:, :, others]
    torch.testing.assert_close(given[:, :, others][free], coarse[:, :, others][free])
    assert torch.equal(batch.video.times, shapes["high"].video_times())
    assert batch.audio is None
    spoiled = make_batch(samples, objective, refining.job.model, audio=False).video.condition
    same = (spoiled[:, :, 1] - given[:, :, 1]).flatten(1).std(1)
    assert (same > 0.5).any(), "some samples have their keyframes dropped"
    assert (same < 0.4).any()
    plain = make_batch(samples, objective, refining.job.model, audio=False, level=0.5)
    torch.testing.assert_close(plain.video.condition[:, :, at], keys)


def test_a_refiner_trains_samples_and_writes_its_card(tmp_path, sharp, tiny, train_alone):
    """Catches a stage that only its first step survives, and a card that says nothing of it."""
    job = tiny(
        tmp_path / "refiner", sharp, rendition="high", refine=REFINE, steps=2, micro_batch=4,
        checkpoint_every=2, validate_every=2,
    )  # fmt: skip
    lines = train_alone(job)
    steps = [line for line in lines if line["kind"] == "step"]
    assert all("loss/audio" not in line and line["loss"] > 0 for line in steps)
    (held_out,) = [line for line in lines if line["kind"] == "validation"]
    assert held_out["video"] > 0
    after = checkpoint.read_weights(checkpoint.newest(job.folder))
    assert not any("audio" in name for name in after.tensors)
    (card,) = after.card["refine"].values()
    assert card["low"]["height"] == 16
    assert card["keyframes"]["frames"] == 2
    assert after.card["model"]["sound"] is False
    joint = tiny(tmp_path / "joint", sharp, keyframes={}, steps=1, validate_every=1)
    lines = train_alone(joint)
    assert {"loss/keyframes", "loss/video"} <= set(lines[1])
    assert lines[2]["keyframes"] > 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"keyframes": {"rendition": "high"}}, "stills: true"),
        ({"keyframes": {"rendition": "sharp"}}, "base, keyframes, high"),
        ({"rendition": "high", "refine": {"low": "small"}}, "train.refine.low"),
        ({"rendition": "base", "refine": {"keyframes": "keyframes"}}, "as large as"),
    ],
)
def test_what_the_shards_cannot_give_is_refused_by_field(tmp_path, sharp, tiny, fields, words):
    """Catches a misfit that shows in a worker, hours later."""
    with pytest.raises(RecipeError, match=words):
        tiny(tmp_path, sharp, **fields)


def test_refine_and_keyframes_exclude_each_other_and_sound():
    """Catches settings that say two things."""
    with pytest.raises(ValueError, match="two trainings"):
        TrainConfig(refine={}, keyframes={})
    with pytest.raises(ValueError, match="makes no sound"):
        TrainConfig(refine={}, tasks={"video_to_audio": 1})
