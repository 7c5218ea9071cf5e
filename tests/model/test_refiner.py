"""What a refiner is given, where its weights begin, and what it must not touch."""

from dataclasses import replace

import pytest
import torch

from model.geometry import Geometry, VideoSpec
from model.refiner import (
    keyframe_mask,
    places,
    put_in_place,
    upsampled,
)
from model.sample import grid, integrate
from tests.model.helpers import GEOMETRY, make_media, make_model

SMALL = GEOMETRY
LARGE = replace(GEOMETRY, frames=17, height=64, width=64, fps=16.0)
STILLS = replace(LARGE, frames=2, fps=2.0, video=VideoSpec(channels=4, time=1))


def test_upsampling_is_linear_in_seconds_and_in_space():
    """Catches latents counted instead of timed (the first is one frame, the others four), and
    corners taken for centres.
    """
    C, T, h, w = SMALL.video_shape
    _, F, H, W = LARGE.video_shape
    clock = SMALL.video_times().float()[:, None, None].expand(1, C, T, h, w)
    later = upsampled(clock, SMALL, LARGE)
    inside = LARGE.video_times().float().clamp(clock.min(), clock.max())
    torch.testing.assert_close(later, inside[:, None, None].expand(1, C, F, H, W))
    column = (torch.arange(w) + 0.5).expand(1, C, T, h, w)
    across = upsampled(column, SMALL, LARGE)[0, 0, 0, 0]
    torch.testing.assert_close(across[1:-1], (torch.arange(W) + 0.5)[1:-1] / 2)
    still = torch.randn(1, C, 1, h, w)
    alone = replace(SMALL, frames=1)
    assert upsampled(still, alone, LARGE).shape == (1, *LARGE.video_shape)


def test_a_still_lies_in_the_latent_that_shows_its_instant():
    """Catches keyframes that land a latent early or late."""
    for target in (SMALL, LARGE, Geometry(33, 64, 64, 16.0)):
        stills = replace(STILLS, frames=int(target.seconds * 2), fps=2.0)
        at = places(stills, target)
        for second, latent in zip(stills.video_times().tolist(), at, strict=True):
            first = 0 if latent == 0 else 1 + (latent - 1) * 4
            last = 1 if latent == 0 else first + 4
            assert first / target.fps - 1e-6 <= second <= last / target.fps + 1e-6
    assert places(replace(STILLS, frames=9, fps=16.0), LARGE) == [0, 1, 1, 1, 1, 2, 2, 2, 2]


def test_keyframes_are_put_in_place_and_nothing_else_changes():
    """Catches keyframes blended, moved or lost, and a wrong size that is silently stretched."""
    coarse, keys = torch.randn(2, *LARGE.video_shape), torch.randn(2, *STILLS.video_shape)
    whole = put_in_place(coarse, keys, [1, 3])
    assert torch.equal(whole[:, :, [1, 3]], keys)
    assert torch.equal(whole[:, :, [0, 2, 4]], coarse[:, :, [0, 2, 4]])
    with pytest.raises(ValueError, match="8x8 and 4x4"):
        put_in_place(torch.zeros(1, 4, 3, 4, 4), keys, [0, 1])


def test_a_keyframe_is_kept_where_the_video_is():
    """Catches a given first half whose keyframes are made anew."""
    mask = torch.zeros(1, 1, 3, 2, 2)
    mask[:, :, 1, 0, 1] = 1
    kept = keyframe_mask(mask, [0, 1], (4, 4))
    assert not kept[:, :, 0].any()
    assert kept[0, 0, 1].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [0] * 4, [0] * 4]


def test_kept_regions_come_back_bit_equal():
    """Catches a refiner that touches what an edit keeps."""
    model = make_model(awake=True, sound=False)
    video, _ = make_media(geometry=LARGE)
    mask = torch.zeros_like(video.mask)
    mask[..., :3] = 1
    video = replace(video, mask=mask)
    (made, _) = integrate(model, video, None, grid(3))
    assert torch.equal(made[..., :3], video.condition[..., :3])
    assert not torch.allclose(made[..., 3:], video.condition[..., 3:])


def test_gradient_through_the_refiner_is_exact():
    """Catches a wrong derivative between the small clip or a keyframe and the refined velocity."""
    model = make_model(awake=True, width=12, heads=2, sound=False).double()
    small = Geometry(5, 16, 16, 8.0, VideoSpec(channels=4))
    large = Geometry(9, 32, 32, 16.0, VideoSpec(channels=4))
    video, _ = make_media(batch=1, tokens=2, geometry=large)
    video = replace(
        video,
        **{n: getattr(video, n).double() for n in ("latent", "t", "text", "mask")},
    )

    def refined(low: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        coarse = put_in_place(upsampled(low, small, large), key, [1])
        return model(replace(video, condition=coarse), None)[0][:, 0]

    g = torch.Generator().manual_seed(2)
    low = torch.randn(1, *small.video_shape, generator=g, dtype=torch.double, requires_grad=True)
    key = torch.randn(1, 4, 1, 4, 4, generator=g, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(refined, (low, key), fast_mode=True)
