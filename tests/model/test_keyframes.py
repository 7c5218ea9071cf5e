"""Keyframes of higher resolution in the video's own sequence, on its clock and in its space."""

from dataclasses import replace

import pytest
import torch

from model.config import ModelConfig
from model.geometry import Geometry
from model.guidance import Guidance, guide
from model.mmdit import MMDiT
from model.rope import centres, positions
from model.sample import grid, integrate
from model.tower import Media
from tests.model.helpers import (
    CONFIG,
    GEOMETRY,
    make_media,
    make_model,
    make_reference,
    with_references,
)


def with_keyframes(video: Media, seed: int = 5, frames: int = 2) -> Media:
    """The video with stills of twice its size, a second apart."""
    g = torch.Generator().manual_seed(seed)
    batch, channels = video.latent.shape[:2]
    shape = batch, channels, frames, *(2 * n for n in video.latent.shape[3:])
    keys = replace(
        video,
        latent=torch.randn(shape, generator=g),
        condition=torch.randn(shape, generator=g),
        mask=torch.zeros(batch, 1, *shape[2:]),
        times=torch.arange(frames) + 0.5,
    )
    return replace(video, keyframes=keys)


def test_a_model_without_keyframes_is_the_one_it_was():
    """Catches an option that changes initial weights, outputs or cards of models without it."""
    plain, able = make_model(), make_model(keyframes=True)
    assert set(dict(able.named_parameters())) - set(dict(plain.named_parameters())) == {
        "keyframe_mark"
    }
    for name, weight in plain.named_parameters():
        assert torch.equal(weight, dict(able.named_parameters())[name]), name
    plain = make_model(awake=True)
    able.load_state_dict(plain.state_dict(), strict=False)
    for one, other in zip(plain(*make_media()), able(*make_media()), strict=True):
        assert torch.equal(one, other)
    assert "keyframes" not in CONFIG.to_json()
    card = replace(CONFIG, keyframes=True).to_json()
    assert card["keyframes"]
    assert ModelConfig(**card) == replace(CONFIG, keyframes=True)


@pytest.mark.parametrize("clock", ["seconds", "paper"])
def test_a_keyframe_is_a_token_like_any_other(clock):
    """Catches another place, clock, text or exchange for keyframes: as long as the mark is 0, a
    latent moved from the video's end to the keyframes gives what it gave.
    """
    model = make_model(awake=True, keyframes=True, clock=clock)
    torch.nn.init.zeros_(model.keyframe_mark)
    video, audio = make_media(geometry=replace(GEOMETRY, frames=13))
    names = ("latent", "condition", "mask")
    last = {n: getattr(video, n)[:, :, -1:] for n in names} | {"times": video.times[-1:]}
    rest = {n: getattr(video, n)[:, :, :-1] for n in names} | {"times": video.times[:-1]}
    moved = replace(video, **rest, keyframes=replace(video, **last))
    picture, sound = model(video, audio)
    shorter, same_sound, still = model(moved, audio)
    torch.testing.assert_close(torch.cat([shorter, still], dim=2), picture, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(same_sound, sound, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        model.keyframe_mark.fill_(0.5)
    assert not torch.allclose(model(moved, audio)[0], shorter)


def test_places_are_shared_by_both_resolutions():
    """Catches rows counted in each grid's own units: the corner would not be the corner."""
    inside = centres(8, 4, torch.device("cpu")).reshape(4, 2)
    assert torch.equal(inside.mean(1), torch.arange(4.0, dtype=torch.float64))
    assert torch.equal(centres(4, 4, torch.device("cpu")), torch.arange(4, dtype=torch.float64))
    clip = Geometry(17, 64, 64, 8.0)
    at = clip.video_times()[[0, 2, 4]]
    index = positions(at, "paper", audio=False, grid=clip.video_times())
    assert index.tolist() == [0, 2, 4]


def test_video_sound_and_keyframes_read_each_other():
    """Catches keyframes that are denoised beside the clip and not with it."""
    model = make_model(awake=True, keyframes=True)
    video, audio = make_media()
    video = with_keyframes(video)
    picture, sound, keys = model(video, audio)
    assert keys.shape == video.keyframes.latent.shape
    other = replace(video, keyframes=replace(video.keyframes, latent=-video.keyframes.latent))
    later = replace(video, keyframes=replace(video.keyframes, times=video.keyframes.times + 0.4))
    for changed in (other, later):
        for one, two in zip(model(changed, audio)[:2], (picture, sound), strict=True):
            assert not torch.allclose(one, two, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(model(replace(video, latent=-video.latent), audio)[2], keys)
    assert not torch.allclose(model(video, replace(audio, latent=-audio.latent))[2], keys)


def test_a_model_that_knows_no_keyframes_refuses_them():
    """Catches keyframes that are silently dropped, and sound for a model that has no such tower."""
    video, audio = make_media()
    with pytest.raises(ValueError, match=r"model\.keyframes"):
        make_model()(with_keyframes(video), audio)
    with pytest.raises(ValueError, match=r"model\.sound"):
        make_model(sound=False)(video, audio)


def test_without_an_audio_tower_the_picture_is_the_same():
    """Catches a refiner's network that is another one than the video tower alone."""
    whole, alone = make_model(awake=True), make_model(sound=False)
    missing = alone.load_state_dict(whole.state_dict(), strict=False).missing_keys
    assert missing == []
    assert not any("audio" in name for name, _ in alone.named_parameters())
    video, _ = make_media()
    assert torch.equal(alone(video, None)[0], whole(video, None)[0])


def test_given_keyframes_come_back_and_the_others_are_made():
    """Catches a sampler that forgets keyframes, or loses the kept ones."""
    model = guide(make_model(awake=True, keyframes=True), Guidance(2, 2, 1.5, 1.5))
    video, audio = make_media()
    video = with_keyframes(video)
    mask = video.keyframes.mask.clone()
    mask[:, :, 0] = 1
    video = replace(video, keyframes=replace(video.keyframes, mask=mask))
    for method in ("euler", "dpmpp"):
        _, _, keys = integrate(model, video, audio, grid(3), method)
        known = video.keyframes.condition
        assert torch.equal(keys[:, :, 0], known[:, :, 0])
        assert not torch.allclose(keys[:, :, 1], known[:, :, 1])
        assert keys.isfinite().all()


def test_gradient_through_keyframes_is_exact():
    """Catches a wrong derivative between keyframes in and picture, sound and keyframes out."""
    model = make_model(awake=True, width=12, heads=2, keyframes=True).double()
    video, audio = (to_double(m) for m in make_media(batch=1, tokens=2))
    small = {n: getattr(video, n)[:, :, :2, :2, :2] for n in ("latent", "condition", "mask")}
    video = replace(video, **small, times=video.times[:2])
    video = with_keyframes(video, frames=1)
    keys = to_double(video.keyframes)

    def made(latent: torch.Tensor, mark: torch.Tensor) -> tuple[torch.Tensor, ...]:
        shown = replace(video, keyframes=replace(keys, latent=latent))
        picture, sound, back = torch.func.functional_call(
            model, {"keyframe_mark": mark}, (shown, audio)
        )
        return picture[:, 0], sound[:, :2, :3], back[:, 0]

    mark = model.keyframe_mark.detach().clone().requires_grad_()
    latent = keys.latent.clone().requires_grad_()
    assert torch.autograd.gradcheck(made, (latent, mark), fast_mode=True)


def to_double(media: Media) -> Media:
    names = ["latent", "t", "text", "condition", "mask"]
    there = {n: getattr(media, n).double() for n in names if getattr(media, n) is not None}
    return replace(media, **there)


def test_keyframes_get_a_gradient_from_the_first_step():
    """Catches a mark that stays at zero for good."""
    torch.manual_seed(0)
    model = MMDiT(replace(CONFIG, keyframes=True))
    video, audio = make_media()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        sum((v - 1).square().mean() for v in model(with_keyframes(video), audio)).backward()
        optimizer.step()
    assert model.keyframe_mark.grad.any()


def test_references_stay_before_keyframes():
    """Catches a mark on references, or velocities of references taken for those of keyframes."""
    model = make_model(awake=True, keyframes=True)
    video, audio = with_references(make_media(), [[make_reference(3)], []])
    both = with_keyframes(video)
    picture, _, keys = model(both, audio)
    assert picture.shape == video.latent.shape
    assert keys.shape == both.keyframes.latent.shape
    state, plain = model.embed_video(both), model.embed_video(with_keyframes(make_media()[0]))
    torch.testing.assert_close(state.media[:, state.references :], plain.media)
