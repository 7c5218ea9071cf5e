"""What a student learns: the end of a phase, by the teacher's steps and its own."""

from dataclasses import replace

import pytest
import torch

from model.distil import parts_of, phases, targets
from model.flow import interpolate
from model.guidance import Guidance, guide
from model.sample import integrate
from tests.model.helpers import make_media, make_model

SPREAD = 0.5  # of the data, which are normal around 0


def variance(t):
    return (t * SPREAD) ** 2 + (1 - t) ** 2


def exact(video, audio):
    """The velocity that moves noise to normal data: (d/dt log deviation of z_t) z."""

    def of(media):
        t = media.t.reshape(-1, *[1] * (media.latent.dim() - 1))
        return media.latent * (t * SPREAD**2 - (1 - t)) / variance(t)

    return tuple(None if m is None else of(m) for m in parts_of(video, audio))


def perfect(way):
    """A student that goes from any z_t straight to where the exact way ends the phase."""

    def of(media):
        t = media.t.reshape(-1, *[1] * (media.latent.dim() - 1))
        end = way.times[way.end(way.index(media.t)).clamp(max=len(way.times) - 1)]
        end = end.reshape(t.shape)
        moved = media.latent * (variance(end) / variance(t)).sqrt() - media.latent
        return torch.where(end > t, moved / (end - t).clamp_min(1e-9), 0.0)

    return lambda video, audio: tuple(None if m is None else of(m) for m in parts_of(video, audio))


def at(t):
    """Two samples of picture and sound at t, and the velocities noise -> data."""
    media, true = [], []
    for m in make_media(batch=len(t)):
        noise, clean = m.latent, SPREAD * torch.randn(m.latent.shape)
        media.append(replace(m, latent=interpolate(clean, noise, t), t=t))
        true.append(clean - noise)
    return tuple(media), tuple(true)


def test_the_teachers_times_and_the_phases_between_them():
    """Catches a t that falls into another phase, and one at which nothing is left to do."""
    way = phases(4, 8)
    t = torch.tensor([0.0, 0.124, 0.125, 0.3, 0.99, 1.0])
    assert way.index(t).tolist() == [0, 0, 1, 2, 7, 7]
    assert way.snapped(t).tolist() == [0, 0, 0.125, 0.25, 0.875, 0.875]
    assert way.end(way.index(t)).tolist() == [2, 2, 2, 4, 8, 8]
    shifted = phases(4, 8, shift=3.0)
    assert torch.equal(shifted.index(shifted.times[:-1]), torch.arange(8)), "each is its own"
    with pytest.raises(ValueError, match="8 steps of a teacher cannot be cut into 3"):
        phases(3, 8)


@pytest.mark.parametrize("ahead", [1, 3, 64])
def test_a_perfect_student_is_a_fixed_point(ahead):
    """Catches steps beyond the phase, a wrong share of the student's answer, and t of another
    sample: what a student that makes no error learns is what it answers already.
    """
    way = phases(4, 256)
    t = way.times[torch.tensor([0, 70, 191, 255])]
    media, true = at(t)
    student = perfect(way)
    found = targets(exact, student, media, true, t, way, ahead)
    for one, other in zip(found, student(*media), strict=True):
        torch.testing.assert_close(one, other, atol=0.02, rtol=0.02)


def test_a_whole_phase_asks_the_teacher_alone():
    """Catches a target that hangs on the student although the teacher went all the way."""

    def never(video, audio):
        raise AssertionError

    way = phases(2, 8)
    t = torch.tensor([0.0, 0.5])
    media, true = at(t)
    picture, _ = targets(exact, never, media, true, t, way, 4)
    alone = replace(media[0], latent=media[0].latent[:1], t=t[:1])
    end = alone.latent
    for now in way.times[:4].split(1):
        end = end + exact(replace(alone, latent=end, t=now), None)[0] / 8
    torch.testing.assert_close(picture[:1], (end - alone.latent) / 0.5)


def test_what_is_kept_and_what_is_given_stay_on_their_way():
    """Catches a kept region that the teacher moves, and a given sound that loses its place."""
    way = phases(2, 8)
    t = torch.tensor([0.125, 0.5])
    (video, audio), true = at(t)
    mask = torch.zeros_like(video.mask)
    mask[:, :, :1] = 1
    audio = replace(audio, t=torch.ones(2))
    seen = []

    def watching(picture, sound):
        seen.append((picture, sound))
        return exact(picture, sound)

    found = targets(watching, exact, (replace(video, mask=mask), audio), true, t, way, 2)
    clean = video.latent + (1 - t).reshape(-1, 1, 1, 1, 1) * true[0]
    noise = clean - true[0]
    assert torch.equal(found[0][:, :, 0], true[0][:, :, 0])
    picture, sound = seen[1]
    assert picture.t.tolist() == [0.25, 0.625]
    torch.testing.assert_close(
        picture.latent[:, :, 0], interpolate(clean, noise, picture.t)[:, :, 0]
    )
    assert sound.t.tolist() == [1, 1]
    assert torch.equal(sound.latent, audio.latent)


def test_keyframes_and_guidance_go_the_same_way():
    """Catches keyframes left at their first noise level, and a teacher that is not guided."""
    model = make_model(awake=True, keyframes=True)
    t = torch.tensor([0.0, 0.25])
    (video, audio), true = at(t)
    stills = replace(video, latent=video.latent[:, :, :2], times=video.times[:2])
    stills = replace(stills, condition=stills.latent, mask=stills.mask[:, :, :2])
    video = replace(video, keyframes=stills)
    true = (*true, true[0][:, :, :2])
    way = phases(1, 4)
    teacher = guide(model, Guidance(3.0, 3.0))
    found = targets(teacher, model, (video, audio), true, t, way, 4)
    first = tuple(
        replace(m, latent=m.latent[:1], t=t[:1], text=m.text[:1], text_mask=m.text_mask[:1])
        for m in (stills, video, audio)
    )
    keys, picture, sound = (
        m if m.mask is None else replace(m, condition=m.condition[:1], mask=m.mask[:1])
        for m in first
    )
    picture = replace(picture, keyframes=keys)
    made = integrate(teacher, picture, sound, [0, 0.25, 0.5, 0.75, 1])
    for velocity, end, begin in zip(found, made, (picture, sound, keys), strict=True):
        torch.testing.assert_close(velocity[:1], end - begin.latent, atol=1e-4, rtol=1e-4)
