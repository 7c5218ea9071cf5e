"""The shared clock and the rotation."""

import pytest
import torch

from model.geometry import Geometry
from model.rope import (
    PAPER_AUDIO_SCALE,
    positions,
    rotate,
    split_head,
    time_rotation,
    video_rotation,
)

HEAD = 32


def test_one_latent_at_16_fps_is_one_unit():
    """Catches a clock in other units than quarter seconds."""
    where = positions(Geometry(17, 64, 64, 16.0).video_times(), "seconds", audio=False)
    torch.testing.assert_close(where[2:] - where[1:-1], torch.ones(3, dtype=torch.float64))


def test_picture_and_sound_of_one_second_have_one_phase():
    """Catches towers on different clocks: a sound would be tied to the wrong picture."""
    picture = time_rotation(positions(torch.tensor([1.5]), "seconds", audio=False), HEAD, 100.0, 4)
    sound = time_rotation(positions(torch.tensor([1.5]), "seconds", audio=True), HEAD, 100.0)
    assert torch.equal(picture.cos, sound.cos.expand(4, -1))
    assert torch.equal(picture.sin, sound.sin.expand(4, -1))


def test_the_papers_clock():
    """Catches a wrong 21/218: at 5 s the last of 218 sounds must meet the last of 21 pictures."""
    picture = positions(torch.zeros(21), "paper", audio=False)
    sound = positions(torch.zeros(218), "paper", audio=True)
    assert picture[-1] == 20
    assert sound[-1] == pytest.approx(217 * PAPER_AUDIO_SCALE)
    assert sound[-1] == pytest.approx(20.9, abs=0.01)


def test_scores_depend_on_differences_only():
    """Catches a rotation that is not one: norms kept, products invariant to a common shift."""
    query, key = torch.randn(2, 1, HEAD), torch.randn(2, 1, HEAD)

    def score(at: float, other: float) -> torch.Tensor:
        turn = [time_rotation(torch.tensor([p]), HEAD, 100.0) for p in (at, other)]
        return (rotate(query, turn[0]) * rotate(key, turn[1])).sum(-1)

    torch.testing.assert_close(score(1.0, 3.0), score(6.0, 8.0), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(score(1.0, 3.0), score(1.0, 4.0))
    torch.testing.assert_close(score(2.0, 2.0), (query * key).sum(-1), rtol=1e-4, atol=1e-4)


def test_video_axes_are_apart():
    """Catches rows, columns or time that share channels: each axis must turn its own only."""
    turn = video_rotation(torch.arange(2.0), 2, 2, HEAD, (16, 56, 56), 100.0)
    cos = turn.cos[:, : HEAD // 2].reshape(2, 2, 2, -1)  # [T,h,w,D/2]
    moved = [
        (cos[1, 0, 0] != cos[0, 0, 0]).nonzero().flatten().tolist(),
        (cos[0, 1, 0] != cos[0, 0, 0]).nonzero().flatten().tolist(),
        (cos[0, 0, 1] != cos[0, 0, 0]).nonzero().flatten().tolist(),
    ]
    sizes = [n // 2 for n in split_head(HEAD, (16, 56, 56))]
    assert [len(m) for m in moved] == sizes
    assert sorted(channel for axis in moved for channel in axis) == list(range(HEAD // 2))


@pytest.mark.parametrize("head", [6, 12, 32, 48, 64, 128])
def test_split_fills_the_head(head):
    """Catches odd or missing channels at small head sizes."""
    split = split_head(head, (16, 56, 56))
    assert sum(split) == head
    assert all(n >= 2 and n % 2 == 0 for n in split)
    if head == 128:
        assert split == (16, 56, 56)


def test_padding_does_not_rotate():
    """Catches text tokens that get a place in time."""
    turn = time_rotation(torch.tensor([3.0]), HEAD, 100.0).pad(2)
    x = torch.randn(3, HEAD)
    assert torch.equal(rotate(x, turn)[1:], x[1:])
    assert not torch.allclose(rotate(x, turn)[0], x[0])


def test_the_clock_of_latents_counts_latents():
    """Catches a donor's picture at other positions than it learnt, and sound off its picture."""
    clip = Geometry(33, 64, 64, 24.0)
    where = positions(clip.video_times(), "latents", audio=False, fps=24.0)
    torch.testing.assert_close(where, torch.arange(9.0, dtype=torch.float64))
    sound = positions(clip.video_times()[3:4], "latents", audio=True, fps=24.0)
    torch.testing.assert_close(sound, where[3:4])
    slow = positions(Geometry(33, 64, 64, 12.0).video_times(), "latents", audio=False, fps=24.0)
    torch.testing.assert_close(slow[2:] - slow[1:-1], torch.full((7,), 2.0, dtype=torch.float64))
