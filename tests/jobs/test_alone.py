"""Steps in which one tower has no input: what is trained, and that no rank waits for another."""

import os

import pytest
import torch
import torch.multiprocessing as spawned
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel

from jobs.training.curves import curves, reduce_curves
from jobs.training.log import read
from jobs.training.step import losses, make_batch, weighted
from jobs.training.tasks import plan_step
from model.conditions import ALONE, Task, draw_alone, draw_task
from model.mmdit import MMDiT
from pipelines.stream import Cursor
from tests.jobs.conftest import TINY
from tests.jobs.samples import MODEL, NOTHING, SHAPE, objective, sample
from tests.model.helpers import wake
from tests.train_ranks import train_ranks

MIX = NOTHING | {"text_to_av": 2, "text_to_audio": 1, "text_to_image": 1}


def test_steps_alone_follow_their_weights():
    """Catches a share that counts samples twice, and a joint step with a task of one tower."""
    drawn = [draw_alone(MIX, 0, f"0-{i}") for i in range(2000)]
    for task, share in ((None, 0.5), (Task.TEXT_TO_AUDIO, 0.25), (Task.TEXT_TO_IMAGE, 0.25)):
        assert drawn.count(task) / 2000 == pytest.approx(share, abs=0.04)
    assert {draw_task(MIX, 0, f"c{i}", 0) for i in range(100)} == {Task.TEXT_TO_AV}
    assert draw_alone(NOTHING | {"text_to_av": 1}, 0, "0-0") is None
    with pytest.raises(ValueError, match="none for a joint step"):
        draw_task(NOTHING | {"text_to_audio": 1}, 0, "c", 0)


def woken() -> MMDiT:
    torch.manual_seed(0)
    model = MMDiT(MODEL)
    wake(model)
    return model


def step(task: str, numbers, model=None):
    """A step of one task: its batch, losses and the loss that is differentiated."""
    mix, samples = objective(**{task: 1}), [sample(i) for i in numbers]
    alone, total = plan_step(samples, mix, Cursor())
    batch = make_batch(samples, mix, MODEL, audio=total.heard > 0, alone=alone)
    found = losses(model or woken(), batch)
    return batch, found, weighted(found, mix.config, total)


@pytest.mark.parametrize("task", ALONE)
def test_a_tower_without_input_is_not_run(task):
    """Catches a modality that is trained on zeros, and gradients in a tower that has no input."""
    model = woken()
    batch, found, loss = step(task, (0, 1, 4), model)
    loss.backward()
    gone = {"video" if task is Task.TEXT_TO_AUDIO else "audio"}
    gone |= {"audio_reads_video", "video_reads_audio"}
    names = {name for name, _ in model.named_parameters()}
    still = {name for name, p in model.named_parameters() if p.grad is None}
    assert still == {name for name in names if gone & set(name.split("."))}
    assert batch.tasks == [task] * 3
    means, _ = reduce_curves(curves(found, batch), ())
    assert {name.split("/")[1] for name in means if name.startswith("task/")} == {task}
    if task is Task.TEXT_TO_AUDIO:
        assert batch.video is None
        assert found.video.tolist() == [0, 0, 0]
        assert (found.audio > 0).tolist() == [True, True, False], "clip 4 has no sound to make"
    else:
        assert batch.audio is None
        assert (found.video > 0).all()
        frames = 1 if task is Task.TEXT_TO_IMAGE else SHAPE.latent_frames
        assert batch.video.latent.shape[2] == len(batch.video.times) == frames


def test_a_batch_without_sound_trains_picture_instead():
    """Catches a step that has nothing to learn, and divides by it."""
    batch, found, loss = step("text_to_audio", (4, 9))
    assert batch.tasks == [Task.TEXT_TO_VIDEO] * 2
    assert (found.video > 0).all()
    assert loss.isfinite()


STEPS = ("text_to_av", "text_to_audio", "text_to_image", "reference_clip", "text_to_video")


def gradients(model, task: str, numbers, world: int):
    """What backward leaves of one step, by weight."""
    model.zero_grad(set_to_none=True)
    mix, samples = objective(**{task: 1}), [sample(i, other=i + 20) for i in numbers]
    alone, total = plan_step(samples, mix, Cursor())
    batch = make_batch(samples, mix, MODEL, audio=total.heard > 0, alone=alone)
    weighted(losses(model, batch), mix.config, total).backward()
    plain = model.module if world == 2 else model
    return {n: p.grad for n, p in plain.named_parameters() if p.grad is not None and p.grad.any()}


def one_of_two(rank: int, port: int, folder: str):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    model = DistributedDataParallel(woken(), find_unused_parameters=True)
    mine = (0, 1) if rank == 0 else (2, 4)
    found = [gradients(model, task, mine, 2) for task in STEPS]
    if rank == 0:
        named = {f"{n} {name}": g for n, grads in enumerate(found) for name, g in grads.items()}
        save_file(named, f"{folder}/gradients.safetensors")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_skip_the_same_tower(tmp_path):
    """Catches ranks that wait for each other's missing gradients, or that sum other losses."""
    port = 29_950 + os.getpid() % 40
    spawned.spawn(one_of_two, args=(port, str(tmp_path)), nprocs=2)
    together = load_file(tmp_path / "gradients.safetensors")
    alone = {
        f"{number} {name}": gradient
        for number, task in enumerate(STEPS)
        for name, gradient in gradients(woken(), task, (0, 1, 2, 4), 1).items()
    }
    assert together.keys() == alone.keys()
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("zero", [2, 3])
@pytest.mark.usefixtures("alone")
def test_zero_skips_the_same_tower(tmp_path, shards, tiny, train_alone, zero):
    """Catches a stage that waits for a tower's gradients, or gathers weights nobody runs."""
    tasks = {"text_to_av": 1, "text_to_audio": 1, "text_to_video": 1, "text_to_image": 1}
    settings = {**TINY, "steps": 8, "tasks": NOTHING | tasks, "schedule": "constant"}
    train_ranks(tmp_path / "two", shards, 2, **settings, zero=zero)
    one = train_alone(tiny(tmp_path / "one", shards, **settings))
    both = read(tmp_path / "two" / "metrics.jsonl")
    losses = [[x["loss"] for x in lines if x["kind"] == "step"] for lines in (one, both)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    made = {name for line in one for name in line if name.startswith("task/")}
    assert {f"task/{task}" for task in tasks} == {name.rpartition("/")[0] for name in made}
