"""What training shows before a clip: the same wherever and whenever the clip is trained."""

from dataclasses import replace

import pytest
import torch

from jobs.training.mix_config import TaskMix
from jobs.training.references import references_of, wants_other
from jobs.training.step import losses, make_batch
from jobs.training.tasks import counts
from model.conditions import Task, draw_task
from model.mmdit import MMDiT
from model.noise import Draw
from pipelines.stream import Sample
from tests.jobs.samples import BLACK, MODEL, NOTHING, objective, sample
from tests.model.helpers import wake


def shown(task: Task, given: Sample) -> list:
    draw = Draw(0, given.clip_id, given.visit)
    return references_of(task, given, "base", BLACK, draw)


def test_references_are_of_the_other_clip():
    """Catches a reference that is cut out of the clip itself though there is another one."""
    clip = sample(0, other=1)
    (image,) = shown(Task.REFERENCE_IMAGE, clip)
    assert torch.equal(image.video, clip.other.video[:, :1].float())
    assert (image.audio, image.geometry.frames) == (None, 1)
    lengths = set()
    for visit in range(20):
        (film,) = shown(Task.REFERENCE_CLIP, replace(clip, visit=visit))
        T, L = film.video.shape[1], film.audio.shape[1]
        assert torch.equal(film.video, clip.other.video[:, :T].float())
        assert torch.equal(film.audio, clip.other.audio[:, :L].float())
        lengths.add(T)
    assert lengths == {1, 2, 3}
    spoken = [shown(Task.REFERENCE_SOUND, replace(clip, visit=v))[0] for v in range(20)]
    assert all(r.video is None for r in spoken)
    whole = clip.other.audio.float()
    assert all((whole.unfold(1, r.audio.shape[1], 1) == r.audio[:, None]).any() for r in spoken)
    assert len({r.audio.shape[1] for r in spoken}) == 3


def test_a_lone_clip_refers_to_itself_and_a_mute_one_lends_no_sound():
    """Catches a task that fails on films of one clip, or a silence learnt as a voice."""
    alone = sample(0)
    assert torch.equal(shown(Task.REFERENCE_IMAGE, alone)[0].video, alone.video[:, :1].float())
    beside_mute = sample(0, other=4)
    assert shown(Task.REFERENCE_CLIP, beside_mute)[0].audio is None
    heard = shown(Task.REFERENCE_SOUND, beside_mute)[0].audio
    assert (alone.audio.float().unfold(1, heard.shape[1], 1) == heard[:, None]).any()
    assert shown(Task.TEXT_TO_AV, alone) == []


def test_an_edit_shows_the_clip_with_a_hole():
    """Catches an edit that gives its answer away, or that shows nothing of what stays."""
    for other, filler in ((None, BLACK), (1, sample(1).video.float())):
        clip = sample(0, other=other)
        (before,) = shown(Task.EDIT, clip)
        clean = clip.video.float()
        changed = (before.video != clean).any(dim=0)
        assert 0 < int(changed.sum()) < changed.numel()
        assert torch.equal(before.video[:, changed], filler[:, changed])
        assert torch.equal(before.audio, clip.audio.float())


def test_losses_with_references_belong_to_samples():
    """Catches references of one sample that another one sees, and padding of a batch."""
    torch.manual_seed(0)
    model = MMDiT(MODEL)
    wake(model)
    mix = objective(reference_clip=1, reference_sound=1, reference_image=1, edit=1, text_to_av=1)
    samples = [sample(i, other=i + 20) for i in (0, 1, 2, 3, 4, 5, 6, 7)]
    batch = make_batch(samples, mix, MODEL, audio=True)
    assert len(set(batch.tasks)) >= 4, "the draw has too few tasks for this test"
    assert batch.tasks[4] is not Task.REFERENCE_SOUND, "a mute clip has no voice to take over"
    together = losses(model, batch)
    for place, one in enumerate(samples):
        alone = losses(model, make_batch([one], mix, MODEL, audio=True))
        assert alone.video.item() == pytest.approx(together.video[place].item(), rel=1e-4)
        assert alone.audio.item() == pytest.approx(together.audio[place].item(), rel=1e-4)
    assert counts(samples, mix).pictures == len(samples)


def test_the_stream_is_asked_for_what_the_task_will_want():
    """Catches two draws of the task that differ: then references are of the clip itself."""
    mix = TaskMix(**NOTHING | {"reference_image": 1, "text_to_av": 1})
    wants = wants_other(mix, seed=3)
    for number in range(40):
        task = draw_task(mix.model_dump(), 3, f"c{number}", 1)
        assert wants(f"c{number}", 1) == (task is Task.REFERENCE_IMAGE)
    assert wants_other(TaskMix(), seed=3) is None, "nothing more is read for other recipes"
