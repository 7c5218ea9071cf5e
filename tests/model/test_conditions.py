"""Tasks, kept regions and condition latents."""

import pytest
import torch

from model.conditions import Task, condition, draw_task, levels
from model.regions import keep_mask

MIX = {"text_to_av": 0.5, "image_to_av": 0.3, "extend": 0.2}


def test_tasks_follow_their_weights():
    """Catches a mix that favours one task."""
    drawn = [draw_task(MIX, 0, f"clip{i}", 0) for i in range(2000)]
    for name, share in MIX.items():
        assert drawn.count(Task(name)) / 2000 == pytest.approx(share, abs=0.04)


def test_task_is_a_function_of_the_sample_not_of_the_mixs_order():
    """Catches a draw that changes when a recipe lists its tasks in another order."""
    turned = dict(reversed(MIX.items()))
    for i in range(50):
        assert draw_task(MIX, 0, f"c{i}", 2) is draw_task(turned, 0, f"c{i}", 2)
    assert len({draw_task(MIX, 0, "c", visit) for visit in range(30)}) == 3


@pytest.mark.parametrize(
    "mix", [{}, {"text_to_av": 0}, {"text_to_av": -1, "extend": 2}, {"paint": 1}]
)
def test_wrong_mixes_are_refused(mix):
    """Catches a typo in a task name that silently trains something else."""
    with pytest.raises(ValueError, match="task"):
        draw_task(mix, 0, "clip", 0)


def test_zero_weight_is_never_drawn():
    """Catches rounding that picks a switched-off task."""
    mix = {"text_to_av": 0, "extend": 1}
    assert {draw_task(mix, 0, f"c{i}", 0) for i in range(200)} == {Task.EXTEND}


def test_condition_shows_the_kept_and_black_elsewhere():
    """Catches zeros instead of black, or a leak of what has to be generated."""
    clean = torch.randn(2, 4, 5, 3, 3)
    black = torch.arange(4.0).reshape(4, 1, 1, 1)
    mask = torch.stack([keep_mask(2, (5, 3, 3)), keep_mask(0, (5, 3, 3))])
    made = condition(clean, mask, black)
    assert torch.equal(made.latent[0, :, :2], clean[0, :, :2])
    assert torch.equal(made.latent[0, :, 2:], black.expand(4, 3, 3, 3))
    assert torch.equal(made.latent[1], black.expand(4, 5, 3, 3))
    assert torch.equal(made.mask, mask)


def test_a_mask_may_have_any_shape():
    """Catches a condition that only knows prefixes: inpainting is the same with another mask."""
    clean, mask = torch.randn(1, 4, 5, 3, 3), (torch.rand(1, 1, 5, 3, 3) < 0.5).float()
    made = condition(clean, mask, torch.zeros(4, 1, 1, 1))
    assert torch.equal(made.latent, clean * mask)


def test_what_is_wholly_given_has_no_noise():
    """Catches a sound that is known and yet heard through noise."""
    t = torch.tensor([0.1, 0.2, 0.3])
    video, audio = levels([Task.TEXT_TO_AV, Task.VIDEO_TO_AUDIO, Task.AUDIO_TO_VIDEO], t)
    assert torch.equal(video, torch.tensor([0.1, 1.0, 0.3]))
    assert torch.equal(audio, torch.tensor([0.1, 0.2, 1.0]))
