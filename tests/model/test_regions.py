"""What each task keeps, and masks of pixels as masks of latents."""

import pytest
import torch

from model.conditions import Task
from model.geometry import Geometry
from model.noise import Draw
from model.regions import draw_keep, draw_prefix, keep_mask, pool_keep

SHAPE = (5, 6, 8)
DRAWS = [Draw(0, f"c{i}", 0) for i in range(200)]


def test_prefixes_of_the_tasks():
    """Catches an extension that keeps nothing or everything."""
    draws = [Draw(0, f"c{i}", 0) for i in range(200)]
    assert {draw_prefix(Task.TEXT_TO_AV, 5, d) for d in draws} == {0}
    assert {draw_prefix(Task.IMAGE_TO_AV, 5, d) for d in draws} == {1}
    assert {draw_prefix(Task.EXTEND, 5, d) for d in draws} == {1, 2, 3, 4}
    assert {draw_prefix(Task.EXTEND, 1, d) for d in draws} == {0}  # a lone latent stays to be made


def test_prefix_longer_than_the_clip_is_refused():
    """Catches an extension that asks for more latents than there are."""
    with pytest.raises(ValueError, match="prefix"):
        keep_mask(6, (5, 3, 3))


@pytest.mark.parametrize("task", [task for task in Task if task is not Task.VIDEO_TO_AUDIO])
@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1), (2, 3, 3)])
def test_every_task_leaves_something_to_make(task, shape):
    """Catches a sample without a loss, or a mask that is neither 0 nor 1."""
    for draw in DRAWS[:60]:
        mask = draw_keep(task, shape, draw)
        assert mask.shape == (1, *shape)
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        assert not mask.all()
        assert torch.equal(mask, draw_keep(task, shape, draw))


def test_tasks_keep_their_frames():
    """Catches an extension backwards that runs forwards, or an end that is not given."""
    for draw in DRAWS[:50]:
        by_time = {task: draw_keep(task, SHAPE, draw)[0, :, 0, 0].tolist() for task in Task}
        assert by_time[Task.FIRST_LAST] == [1, 0, 0, 0, 1]
        assert by_time[Task.IMAGE_TO_AV] == [1, 0, 0, 0, 0]
        assert by_time[Task.EXTEND_BACK] == by_time[Task.EXTEND][::-1]
        assert 1 <= sum(by_time[Task.KEYFRAMES]) <= 4
    assert draw_keep(Task.VIDEO_TO_AUDIO, SHAPE, DRAWS[0]).all()
    assert not draw_keep(Task.AUDIO_TO_VIDEO, SHAPE, DRAWS[0]).any()


def test_holes_move_rest_and_last_a_part():
    """Catches inpainting that only ever sees one kind of mask."""
    holes = [1 - draw_keep(Task.INPAINT, SHAPE, draw)[0] for draw in DRAWS]
    lasting = [bool(hole.flatten(1).any(1).all()) for hole in holes]
    resting = [
        all(torch.equal(hole[i], hole[0]) for i in range(SHAPE[0]))
        for hole, whole in zip(holes, lasting, strict=True)
        if whole
    ]
    assert 0.3 < sum(lasting) / len(holes) < 0.9
    assert 0.2 < sum(resting) / len(resting) < 0.9
    sizes = {int(hole.flatten(1).sum(1).max()) for hole in holes}
    assert len(sizes) > 4
    for hole in holes:
        sums = {int(n) for n in hole.flatten(1).sum(1).tolist()} - {0}
        assert len(sums) == 1, "a box keeps its size on its way"


def test_what_outpainting_keeps_is_one_box_at_rest():
    """Catches a frame that is painted inwards."""
    for draw in DRAWS[:50]:
        keep = draw_keep(Task.OUTPAINT, SHAPE, draw)[0]
        assert all(torch.equal(frame, keep[0]) for frame in keep)
        rows, columns = keep[0].any(1), keep[0].any(0)
        assert torch.equal(keep[0], torch.outer(rows.float(), columns.float()))
        assert 1 <= int(keep[0].sum()) < keep[0].numel()


def test_a_latent_is_kept_only_where_all_its_pixels_are():
    """Catches a mask that keeps what the edit should change, at its border or in time."""
    geometry = Geometry(frames=9, height=32, width=48, fps=8)
    keep = torch.ones(9, 32, 48, dtype=torch.bool)
    keep[5, 15, 15] = False  # one pixel of one frame
    pooled = pool_keep(keep, geometry)
    assert pooled.shape == (1, 3, 4, 6)
    expected = torch.ones(1, 3, 4, 6)
    expected[0, 2, 1, 1] = 0
    assert torch.equal(pooled, expected)
    keep[0] = False
    assert not pool_keep(keep, geometry)[0, 0].any()
    with pytest.raises(ValueError, match="does not fit"):
        pool_keep(keep[:8], geometry)
