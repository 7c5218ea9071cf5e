"""A student of few steps in the real training loop, from a trained teacher."""

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.random_shards import make_set
from jobs.clips import Sampling, Scene, sample
from jobs.config import RecipeError
from jobs.few_steps import sampling_fields, steps_of
from jobs.generate_config import GenerateConfig
from jobs.train import resume_point
from jobs.training import checkpoint
from jobs.training.config import TrainConfig
from jobs.training.log import read
from jobs.training.stages import StageConfig, settings
from model.config import ModelConfig
from model.geometry import AudioSpec, Geometry, VideoSpec
from model.guidance import Guidance
from model.mmdit import MMDiT
from model.noise import Draw
from tests.jobs.conftest import TINY
from tests.train_ranks import train_ranks

pytestmark = pytest.mark.usefixtures("alone")
SHAPE = Geometry(9, 16, 16, 8.0, VideoSpec(4), AudioSpec(8))
TRAINED = {"lr": 1e-2, "schedule": "constant", "ema": 0.9, "checkpoint_every": 1000}
FEW = {"steps": 4, "teacher_steps": 16, "guidance_video": 2.0, "guidance_audio": 2.0}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, shards, tiny, train_alone):
    """A run whose model has learnt that the data are noise of spread 1, and a bit of its texts."""
    out = tmp_path_factory.mktemp("teacher")
    train_alone(tiny(out, shards, **TRAINED | {"steps": 60}))
    return out


@pytest.fixture(scope="module")
def student(tmp_path_factory, shards, tiny, train_alone, teacher):
    """Its student and what the run said."""
    out = tmp_path_factory.mktemp("student")
    few = FEW | {"teacher": str(teacher)}
    changes = {"steps": 50, "lr": 3e-3, "validate_every": 25}
    return out, train_alone(tiny(out, shards, distil=few, **TRAINED | changes))


def load(out):
    found = checkpoint.read_weights(checkpoint.newest(out / "checkpoints"))
    model = MMDiT(ModelConfig(**found.card["model"]))
    model.load_state_dict(found.tensors)
    return model.eval(), found.card


def made(model, steps, guidance):
    """Four clips with sound as one vector."""
    found = []
    for number in range(4):
        draw = Draw(0, f"clip {number}", 0)
        scene = Scene(SHAPE, draw.normal("words", (5, 12)), draw)
        latents = sample(model, scene, torch.zeros(SHAPE.video_shape), Sampling(steps, guidance))
        found += [latents.picture.flatten(), latents.sound.flatten()]
    return torch.cat(found)


@pytest.mark.slow
def test_four_steps_of_the_student_are_nearer_to_many_of_the_teacher(teacher, student):
    """Catches a student that learns nothing of its teacher's way or of its guidance."""
    model, card = load(student[0])
    assert card["distil"] == {
        "steps": 4, "shift": 1.0, "guidance_video": 2.0, "guidance_audio": 2.0
    }  # fmt: skip
    many, guided = load(teacher)[0], Guidance(2.0, 2.0)
    wanted = made(many, 32, guided)
    off = (made(model, 4, Guidance()) - wanted).norm()
    assert off < 0.7 * (made(many, 4, guided) - wanted).norm()
    assert (made(model, 8, Guidance()) - wanted).norm() < 1.2 * off, "halves of steps are no harm"


@pytest.mark.slow
def test_a_run_says_how_far_the_student_is_from_its_teacher(student, teacher):
    """Catches held-out losses against noise -> data, which fall to the data's spread and stay, and
    FLOPs without the teacher's.
    """
    lines = student[1]
    held_out = [line["loss"] for line in lines if line["kind"] == "validation"]
    assert held_out[-1] < 0.3, "noise -> data is 1 for each stream where data are noise"
    steps, taught = (
        [x for x in told if x["kind"] == "step"]
        for told in (read(teacher / "metrics.jsonl"), lines)
    )
    # a step is 3 passes; of a student also 2 guided ones of its teacher and one of its own
    assert taught[0]["flops_seen"] == pytest.approx((3 + 2 * 2 + 1) / 3 * steps[0]["flops_seen"])


@pytest.mark.slow
def test_a_resumed_student_has_the_same_bits(tmp_path, shards, tiny, train_alone, teacher):
    """Catches draws or targets that depend on the steps a process has made."""
    few = FEW | {"teacher": str(teacher)}
    change = {"distil": few, "checkpoint_every": 2, "schedule": "constant"}
    for steps in (2, 4):
        train_alone(tiny(tmp_path / "halves", shards, steps=steps, **change))
    train_alone(tiny(tmp_path / "one", shards, steps=4, **change))
    for file in ("ema.safetensors", "model.safetensors"):
        one, two = (
            load_file(checkpoint.newest(tmp_path / name / "checkpoints") / file)
            for name in ("one", "halves")
        )
        assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_what_a_resumed_run_must_share(tmp_path, shards, tiny, train_alone, teacher, student):
    """Catches a student that goes on with another teacher, and one that is bound to a path."""
    few = FEW | {"teacher": str(teacher)}
    train_alone(tiny(tmp_path / "out", shards, steps=1, checkpoint_every=1, distil=few))
    moved = few | {"teacher": str(checkpoint.newest(teacher / "checkpoints"))}
    assert resume_point(tiny(tmp_path / "out", shards, distil=moved)) == 1
    other = few | {"teacher": str(student[0])}
    with pytest.raises(RecipeError, match="teacher was"):
        resume_point(tiny(tmp_path / "out", shards, distil=other))
    with pytest.raises(RecipeError, match="ahead"):
        resume_point(tiny(tmp_path / "out", shards, distil=few | {"ahead": 3}))


@pytest.mark.slow
def test_a_teacher_that_cannot_teach_is_refused(tmp_path, shards, tiny, teacher):
    """Catches a misfit that shows as a shape deep in the first step."""
    for distil, message in (
        ({"teacher": str(tmp_path)}, r"train\.distil\.teacher: .*holds no checkpoint"),
        ({}, r"train\.distil\.teacher is empty"),
        ({"teacher": str(teacher / "x.safetensors")}, "needs its card"),
    ):
        with pytest.raises(RecipeError, match=message):
            tiny(tmp_path / "out", shards, distil=FEW | distil)
    few = FEW | {"teacher": str(teacher)}
    wide = {"width": 24, "heads": 2, "dual": 1, "single": 1}
    with pytest.raises(RecipeError, match=r"train\.init: .* has shape"):
        tiny(tmp_path / "out", shards, distil=few, model=wide)
    with pytest.raises(ValueError, match="teacher_steps=30 must be a multiple of steps=4"):
        TrainConfig(distil={"teacher_steps": 30})


def test_in_a_chain_the_stage_before_teaches(tmp_path):
    """Catches a stage that distils what nobody trained."""
    stage = StageConfig(name="few", train={"distil": {"steps": 8}})
    config = settings(TrainConfig(), stage, tmp_path)
    assert (config.distil.teacher, config.init.path) == (str(tmp_path), str(tmp_path))


def test_generate_asks_a_student_with_its_own_steps():
    """Catches a student that is guided twice, or sent past the ends of its steps."""
    card = {"distil": {"steps": 4, "shift": 2.0, "guidance_video": 2.0, "guidance_audio": 1.0}}

    def fields(**asked):
        return sampling_fields(GenerateConfig(**asked), card)

    own = {"steps": 4, "sampler": "euler", "shift": 2.0}
    assert fields() == own | {"guidance_video": 1.0, "guidance_audio": 1.0}
    assert fields(steps=8, guidance_video=1)["steps"] == 8
    assert fields(guidance_audio=1.5)["guidance_audio"] == 1.5  # its teacher was not guided there
    for asked, message in (
        ({"steps": 6}, "steps is 6, the model was distilled to 4.*multiple of 4"),
        ({"guidance_video": 1.5}, "guidance of 2 in it.*guided twice.*guidance_video 1"),
        ({"sampler": "dpmpp"}, "use euler"),
        ({"shift": 3.0}, "distilled with 2"),
    ):
        with pytest.raises(RecipeError, match=message):
            fields(**asked)
    plain = sampling_fields(GenerateConfig(), {})
    assert (plain["steps"], plain["guidance_video"], plain["shift"]) == (30, 3.0, 1.0)
    assert steps_of(None, card, 8, "refiner_steps") == 4
    assert steps_of(None, {}, 8, "refiner_steps") == 8


def test_keyframes_and_a_refiner_are_distilled(tmp_path, tiny, train_alone):
    """Catches a stream without a target, and a refiner that is guided although it never was."""
    make_set(tmp_path / "sharp", {9: 24}, val=3, sharp=1)
    kinds = {
        "joint": {"keyframes": {"rendition": "keyframes"}},
        "refiner": {"rendition": "high", "refine": {"low": "base", "keyframes": "keyframes"}},
    }
    once = {"checkpoint_every": 1, "global_batch": 2, "validate_samples": 1}
    for name, fields in kinds.items():
        train_alone(tiny(tmp_path / name, tmp_path / "sharp", steps=1, **once, **fields))
        few = {"steps": 2, "teacher_steps": 4, "ahead": 1, "teacher": str(tmp_path / name)}
        job = tiny(
            tmp_path / f"few {name}", tmp_path / "sharp", steps=1, distil=few, validate_every=1,
            **once, **fields,
        )  # fmt: skip
        lines = train_alone(job)
        assert ("loss/keyframes" in lines[1]) == (name == "joint")
        assert job.card["distil"]["guidance_video"] == (3.0 if name == "joint" else 1.0)
    few = {"teacher": str(tmp_path / "refiner")}
    with pytest.raises(RecipeError, match=r"is a refiner; train\.refine is not set"):
        tiny(tmp_path / "wrong", tmp_path / "sharp", distil=few)


@pytest.mark.slow
@pytest.mark.parametrize("zero", [2, 3])
def test_ranks_of_a_sharded_student_ask_the_same_teacher(
    tmp_path, shards, tiny, train_alone, teacher, zero
):
    """Catches a teacher that is sharded with the student, or that waits for another rank."""
    few = FEW | {"teacher": str(teacher)}
    fields = {**TINY, "steps": 6, "distil": few, "schedule": "constant"}
    train_ranks(tmp_path / "two", shards, 2, **fields, zero=zero)
    one = train_alone(tiny(tmp_path / "one", shards, **fields))
    both = read(tmp_path / "two" / "metrics.jsonl")
    found = [[x["loss"] for x in lines if x["kind"] == "step"] for lines in (one, both)]
    assert found[1] == pytest.approx(found[0], rel=1e-4)
