"""A run is a function of recipe, data and seed, wherever it stops."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from jobs.config import RecipeError
from jobs.train import resume_point
from jobs.training import checkpoint, loop
from jobs.training.fit import paused_at
from jobs.training.log import read

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def straight(tmp_path_factory, shards, tiny, train_alone):
    job = tiny(tmp_path_factory.mktemp("straight"), shards, validate_every=3)
    return job, train_alone(job)


def same_weights(one, two):
    for file in ("model.safetensors", "ema.safetensors"):
        first, second = load_file(one / file), load_file(two / file)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def straight_muon(tmp_path_factory, shards, tiny, train_alone):
    job = tiny(tmp_path_factory.mktemp("muon"), shards, validate_every=3, optimizer="muon")
    return job, train_alone(job)


@pytest.mark.parametrize(
    ("optimizer", "straight_run", "stop"),
    [
        ("adamw", "straight", 5),
        pytest.param("adamw", "straight", 7, marks=pytest.mark.slow),
        ("muon", "straight_muon", 7),
    ],
)
def test_killed_run_ends_as_if_never_killed(
    tmp_path, killed_at, request, shards, tiny, train_alone, facts, optimizer, straight_run, stop
):
    """Catches a resume that repeats, skips or reorders samples, or loses moments or the average."""
    straight = request.getfixturevalue(straight_run)
    job = tiny(tmp_path, shards, validate_every=3, optimizer=optimizer)
    killed_at(job, stop)
    lines = train_alone(job)
    assert [line["step"] for line in lines if line["kind"] == "start"] == [0, 4]
    assert facts(lines) == facts(straight[1])
    same_weights(checkpoint.newest(job.folder), checkpoint.newest(straight[0].folder))


def test_validation_changes_nothing(tmp_path, shards, tiny, train_alone, straight, facts):
    """Catches a validation that draws from, or writes to, what training uses."""
    job = tiny(tmp_path, shards, validate_every=0)
    assert facts(train_alone(job), ["step"]) == facts(straight[1], ["step"])
    held_out = [line for line in straight[1] if line["kind"] == "validation"]
    assert [line["step"] for line in held_out] == [3, 6, 8]
    assert held_out[0]["loss"] == pytest.approx(held_out[0]["video"] + held_out[0]["audio"])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_loss_falls(tmp_path, shards, tiny, train_alone, optimizer):
    """Catches gradients that do not reach the weights: even random latents are learnt a little."""
    changes = {"lr": 1e-2, "schedule": "constant", "optimizer": optimizer}
    job = tiny(tmp_path, shards, steps=60, checkpoint_every=100, **changes)
    lines = [line for line in train_alone(job) if line["kind"] == "step"]
    first, last = (sum(x["loss"] for x in part) / 10 for part in (lines[:10], lines[-10:]))
    assert last < 0.97 * first


def test_every_curve_is_a_mean_over_its_samples(straight):
    """Catches curves that count a silent clip as a loss of zero, or bins that do not add up."""
    for line in (x for x in straight[1] if x["kind"] == "step"):
        assert line["loss"] == pytest.approx(line["loss/video"] + line["loss/audio"])
        assert line["loss/audio"] > 0.5  # of random latents; zeros for silent clips would pull it
        tasks = [line[k] for k in line if k.startswith("task/") and k.endswith("/video")]
        assert min(tasks) <= line["loss/video"] * (1 + 1e-9)
        assert max(tasks) >= line["loss/video"] * (1 - 1e-9)


def test_other_run_in_the_folder_is_refused_by_field(tmp_path, shards, tiny, straight):
    """Catches a silent mix of two runs: changed seed, model, data or rate under old weights."""
    job, _ = straight
    out = tmp_path / "run"
    shutil.copytree(job.out, out)
    for changes, field in (
        ({"seed": 2}, "seed was 1"),
        ({"lr": 1e-4}, "train.lr was 0.001"),
        ({"model": {"width": 32, "heads": 2, "dual": 1, "single": 1}}, "model was"),
    ):
        with pytest.raises(RecipeError, match=field):
            resume_point(tiny(out, shards, **changes))
    assert resume_point(tiny(out, shards, steps=20, keep_last=5, threads=2)) == 8


def test_longer_recipe_goes_on(tmp_path, shards, tiny, train_alone, straight):
    """Catches a finished run that cannot be continued, or starts again at 0."""
    out = tmp_path / "run"
    shutil.copytree(straight[0].out, out)
    lines = train_alone(tiny(out, shards, steps=10, validate_every=3))
    steps = [line["step"] for line in lines if line["kind"] == "step"]
    assert steps == list(range(1, 11))


def test_contract_is_checked_by_field(tmp_path, shards, tiny):
    """Catches training on latents of another shape, found only deep in the model."""
    with pytest.raises(RecipeError, match=r"train\.rendition is 'high'.*base"):
        tiny(tmp_path, shards, rendition="high")
    with pytest.raises(RecipeError, match=r"train\.model\.video_channels is 3.*has 4"):
        tiny(tmp_path, shards, model={"video_channels": 3})
    with pytest.raises(RecipeError, match=r"train\.size.*huge"):
        tiny(tmp_path, shards, size="huge")


def test_epochs_are_steps_of_the_data(tmp_path, shards, tiny):
    """Catches an epoch that is a number of samples, or a scale that is left out."""
    whole = tiny(tmp_path, shards, epochs=1).config.steps
    assert 3 <= whole <= 9, "41 clips in batches of 8, of two lengths"
    assert tiny(tmp_path, shards, epochs=4).config.steps == 4 * whole
    assert tiny(tmp_path, shards, epochs=4, epoch_scale=0.5).config.steps == 2 * whole
    assert tiny(tmp_path, shards, epochs=0.01).config.steps == 1


def test_asked_to_stop_it_saves_and_goes_on_there(
    tmp_path, monkeypatch, shards, tiny, train_alone, facts, straight
):
    """Catches a stop that drops the steps since the last save, or one that is forgotten."""
    job = tiny(tmp_path, shards, validate_every=3)
    real = loop.losses

    def losses(engine, batch):
        if read(job.log)[-1]["step"] == 5:
            job.stop.touch()  # as the driver does for a signal
        return real(engine, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "losses", losses)
        lines = train_alone(job)
    assert lines[-1]["kind"] == "paused"
    assert checkpoint.step_of(checkpoint.newest(job.folder)) == paused_at(job) == 6
    job.stop.unlink()
    lines = train_alone(job)
    assert paused_at(job) is None
    assert facts(lines) == facts(straight[1])
    same_weights(checkpoint.newest(job.folder), checkpoint.newest(straight[0].folder))
