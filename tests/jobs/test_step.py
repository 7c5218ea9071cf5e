"""Losses belong to samples, not to batches or workers."""

from dataclasses import replace

import pytest
import torch

from jobs.training import checkpoint, loop
from jobs.training.config import TrainConfig
from jobs.training.mix_config import CaptionMix, TaskMix
from jobs.training.optimizer import rate
from jobs.training.run import begin
from jobs.training.step import choose_text, losses, make_batch, weighted
from jobs.training.tasks import counts
from model.mmdit import MMDiT
from model.noise import Draw
from pipelines.stream import Cursor

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def run(tmp_path_factory, shards, tiny):
    return begin(tiny(tmp_path_factory.mktemp("run"), shards))


def first_batches(run, count):
    walk = run.stream.batches(Cursor())
    return [next(walk)[1] for _ in range(count)]


def poisoned_weights(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    return model


def test_loss_of_a_sample_does_not_depend_on_its_company(run):
    """Catches padding that leaks, and noise or tasks drawn per batch instead of per sample."""
    torch.manual_seed(0)
    model = poisoned_weights(MMDiT(run.job.model))
    (samples,) = first_batches(run, 1)
    together = losses(model, make_batch(samples, run.objective, run.job.model, audio=True))
    for place, sample in enumerate(samples):
        alone = losses(model, make_batch([sample], run.objective, run.job.model, audio=True))
        assert alone.video.item() == pytest.approx(together.video[place].item(), rel=1e-5)
        assert alone.audio.item() == pytest.approx(together.audio[place].item(), rel=1e-5)


def test_silent_clip_trains_no_sound(run):
    """Catches a missing sound learnt as silence, or its absence counted as loss 0."""
    model = poisoned_weights(MMDiT(run.job.model))
    samples = [s for batch in first_batches(run, 4) for s in batch if s.bucket == "16x16x5@8"]
    silent = [s for s in samples if s.audio is None][:2]
    heard = [s for s in samples if s.audio is not None][:2]
    assert len(silent) == len(heard) == 2
    batch = make_batch(silent + heard, run.objective, run.job.model, audio=True)
    found = losses(model, batch)
    assert found.audio[:2].tolist() == [0, 0]
    assert (found.audio[2:] > 0).all()
    found.audio[:2].sum().backward()
    grads = [p.grad for p in model.audio.parameters() if p.grad is not None]
    assert all(float(g.abs().sum()) == 0 for g in grads)


def test_visits_differ_and_repeat(run):
    """Catches noise that is the same at every epoch, or another after a restart."""
    (samples,) = first_batches(run, 1)
    config = run.job.model
    one = make_batch(samples, run.objective, config, audio=True)
    again = make_batch(samples, run.objective, config, audio=True)
    later = make_batch(
        [replace(s, visit=s.visit + 1) for s in samples], run.objective, config, audio=True
    )
    assert torch.equal(one.video.latent, again.video.latent)
    assert torch.equal(one.t, again.t)
    assert not torch.isclose(one.t, later.t).any()


NOTHING = dict.fromkeys(TaskMix.model_fields, 0.0)


def only(run, task):
    """The objective of a run that trains one task."""
    config = run.objective.config.model_copy(update={"tasks": TaskMix(**NOTHING | {task: 1})})
    return replace(run.objective, config=config)


def mixed_samples(run):
    """Two silent samples and two with sound, of one bucket."""
    samples = [s for batch in first_batches(run, 4) for s in batch if s.bucket == "16x16x5@8"]
    silent = [s for s in samples if s.audio is None][:2]
    return silent + [s for s in samples if s.audio is not None][:2]


def test_sound_from_picture_sees_a_clean_picture_and_learns_only_sound(run):
    """Catches a picture that is noised although it is given, or a loss on what is in the input."""
    model = poisoned_weights(MMDiT(run.job.model))
    samples, objective = mixed_samples(run), only(run, "video_to_audio")
    batch = make_batch(samples, objective, run.job.model, audio=True)
    assert torch.equal(batch.video.t[2:], torch.ones(2))
    assert torch.equal(batch.video.latent[2:], batch.video.condition[2:])
    assert (batch.audio.t < 1).all()
    assert batch.tasks[:2] == ["text_to_av"] * 2, "without sound there is none to make"
    found, total = losses(model, batch), counts(samples, objective)
    assert found.video[2:].tolist() == [0, 0]
    assert (found.audio[2:] > 0).all()
    assert (total.samples, total.pictures, total.sounds, total.heard) == (4, 2, 2, 2)
    expected = found.video.sum() / 2 + found.audio.sum() / 2
    assert weighted(found, objective.config, total).item() == pytest.approx(expected.item())
    one_way = counts(samples[2:], objective)
    only_sound = losses(model, make_batch(samples[2:], objective, run.job.model, audio=True))
    assert weighted(only_sound, objective.config, one_way).isfinite()


def test_picture_from_sound_hears_a_clean_sound_and_learns_only_picture(run):
    """Catches a sound heard through noise, or an audio tower that is not run for it."""
    model = poisoned_weights(MMDiT(run.job.model))
    samples, objective = mixed_samples(run), only(run, "audio_to_video")
    batch = make_batch(samples, objective, run.job.model, audio=True)
    heard = torch.stack([s.audio for s in samples[2:]]).float()
    torch.testing.assert_close(batch.audio.latent[2:], heard)
    assert torch.equal(batch.audio.t[2:], torch.ones(2))
    assert (batch.video.t < 1).all()
    found, total = losses(model, batch), counts(samples, objective)
    assert found.audio.tolist() == [0] * 4
    assert (found.video > 0).all()
    assert (total.pictures, total.sounds, total.heard) == (4, 0, 2)


def test_captions_follow_their_mix():
    """Catches dropout that never or always drops, and a variant that is never read."""
    known = {name: torch.full((1, 2), i) for i, name in enumerate(("short", "long", "structured"))}
    mix = CaptionMix(short=1, long=3, structured=0, dropped=0.25)
    seen = [choose_text(known, mix, Draw(0, f"c{i}", 0), plain=False, dim=2) for i in range(2000)]
    share = [sum(len(t) > 0 and float(t[0, 0]) == value for t in seen) / 2000 for value in range(3)]
    assert share[2] == 0
    assert share[1] / share[0] == pytest.approx(3, rel=0.2)
    assert sum(len(t) == 0 for t in seen) / 2000 == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("where", ["target", "weights"])
def test_bad_numbers_change_nothing(tmp_path, monkeypatch, shards, tiny, train_alone, facts, where):
    """Catches NaN that reaches weights, moments or the average, and a skip without its ids."""
    real = loop.make_batch

    def make(samples, objective, model, **how):
        batch = real(samples, objective, model, **how)
        if calls.pop(0):
            spoiled = batch.video_target.clone()
            spoiled[1] = float("nan")
            batch = replace(batch, video_target=spoiled)
        return batch

    calls = [False, False, True, False]
    if where == "weights":  # a finite loss whose gradient is not
        calls = [False] * 4
        monkeypatch.setattr(loop, "weighted", spoil_gradient(at=2))
    monkeypatch.setattr(loop, "make_batch", make)
    job = tiny(tmp_path, shards, steps=4, checkpoint_every=1, keep_last=9, schedule="constant")
    lines = train_alone(job)
    (bad,) = [line for line in lines if line["kind"] == "bad"]
    assert bad["step"] == 3
    assert len(bad["ids"]) == (1 if where == "target" else 8)
    folders = [checkpoint.read_weights(path) for path in checkpoint.steps(job.folder)]
    before, after, later = folders[1], folders[2], folders[3]
    assert all(torch.equal(before.tensors[n], after.tensors[n]) for n in before.tensors)
    assert not all(torch.equal(after.tensors[n], later.tensors[n]) for n in before.tensors)
    assert [line["skipped"] for line in lines if line["kind"] == "step"] == [0, 0, 1, 1]


def spoil_gradient(at):
    real, seen = loop.weighted, []

    def weighted(found, config, total):
        seen.append(0)
        loss = real(found, config, total)
        if len(seen) == at + 1:
            loss.register_hook(lambda gradient: gradient * float("inf"))
            loss = loss * 1
            loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss

    return weighted


def test_five_bad_steps_stop_the_run(tmp_path, monkeypatch, shards, tiny, train_alone):
    """Catches a run that burns its budget on NaN."""
    real = loop.make_batch

    def make(*args, **how):
        batch = real(*args, **how)
        return replace(batch, video_target=batch.video_target * float("nan"))

    monkeypatch.setattr(loop, "make_batch", make)
    lines = train_alone(tiny(tmp_path, shards, steps=20))
    assert [line["step"] for line in lines if line["kind"] == "bad"] == [1, 2, 3, 4, 5]
    assert lines[-1]["kind"] == "stopped"
    assert len(lines[-1]["ids"]) == 8


def test_rate_warms_up_and_falls():
    """Catches a first step at rate 0 and a schedule that ends anywhere but at final_lr."""
    config = TrainConfig(lr=1.0, warmup=4, steps=20, final_lr=0.1, schedule="cosine")
    rates = [rate(config, step) for step in range(20)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(1.0)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rate(config, 20) == pytest.approx(0.1)
