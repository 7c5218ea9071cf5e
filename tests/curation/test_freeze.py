"""Freezes and rest: the same pixels under different sounds, with different beginnings and ends."""

import numpy as np
import pytest

from curation.freeze import Heard, freeze_s
from curation.sight import Sight

H, W, FPS, RATE = 96, 144, 16, 16_000
FRAMES = 64  # 4 s


def moving(frames=FRAMES):
    """A block that crosses the picture."""
    pixels = np.full((frames, H, W, 3), 110, np.uint8)
    for i, pixel in enumerate(pixels):
        pixel[30:60, 2 * i : 30 + 2 * i] = (200, 60, 40)
    return pixels


def resting():
    """A block that gets slower and slower and then lies still."""
    pixels = np.full((FRAMES, H, W, 3), 110, np.uint8)
    columns = np.arange(W) + 0.5
    for i, pixel in enumerate(pixels):
        place = 20 + 60 * (1 - 0.8**i)
        cover = np.clip(np.minimum(columns - place, place + 30 - columns) + 0.5, 0, 1)
        pixel[30:60] = (110 + 90 * cover[None, :, None]).round().astype(np.uint8)
    return pixels


def frozen(first=20, last=52):
    """The crossing block, stuck from frame `first` to before `last`."""
    pixels = moving()
    pixels[first:last] = pixels[first]
    return pixels


def sound(*times, channels=1):
    """Knocks at these seconds over a faint hum."""
    t = np.arange(4 * RATE) / RATE
    line = 0.001 * np.sin(2 * np.pi * 100 * t)
    for time in times:
        on = t >= time
        line[on] += 0.4 * np.exp(-(t[on] - time) / 0.08) * np.sin(2 * np.pi * 700 * (t[on] - time))
    return Heard(np.repeat(line[None].astype(np.float32), channels, axis=0), RATE, 0.0)


def measured(pixels, heard, start=0.0, end=4.0):
    sight = Sight()
    sight.feed(np.arange(len(pixels)) / FPS, pixels)
    return freeze_s(sight.track(), start, end, heard)


def test_a_freeze_is_as_long_as_it_lasts_in_the_clip():
    """A stuck picture that is missed, or one whose length is another clip's."""
    heard = sound(0.5, 2.2)
    assert measured(frozen(), heard) == pytest.approx(32 / FPS, abs=0.01)
    assert measured(frozen(), heard, 0.0, 2.5) == pytest.approx(20 / FPS, abs=0.01)
    assert measured(frozen(), heard, 2.5, 4.0) == pytest.approx(12 / FPS, abs=0.01)
    assert measured(frozen(), heard, 3.2, 4.0) == 0
    assert measured(moving(), heard) == 0


def test_rest_is_no_freeze():
    """A ball that lies still taken for a broken film, whether it stopped softly or dead."""
    assert measured(resting(), sound(0.2)) == 0
    assert measured(resting(), sound(0.2, 2.5)) == 0, "one sound may come from beside the picture"
    dead = frozen(20, FRAMES)
    assert measured(dead, sound(0.3, 20 / FPS)) == 0, "the sound of the stop itself"
    assert measured(dead, sound(0.3, 1.7)) == 0, "what left the picture bounces once more"
    rattle = sound(0.2, *np.arange(2.2, 2.9, 0.1))
    assert measured(resting(), rattle) == 0, "one rattle beside the picture"


def test_sounds_that_go_on_until_the_cut_are_a_freeze_from_rest():
    """A picture that froze while little moved, or until the shot's end, under sounds that tell."""
    assert measured(resting(), sound(0.2, 2.1, 2.5, 3.1)) > 2
    assert measured(resting(), sound(0.2, 2.5, 3.1)) == 0, "as a ball bounces beside the picture"
    assert measured(frozen(20, FRAMES), sound(0.3, 1.7, 2.6)) > 2


def test_a_scene_that_has_not_begun_is_no_freeze():
    """A wait before slow motion begins, under sounds from beside the picture."""
    assert measured(resting()[::-1], sound(0.6, 1.1, 3.5)) == 0


def test_a_keyframe_does_not_end_a_freeze():
    """One freeze that counts as two short ones because the codec drew it anew."""
    pixels = frozen()
    pixels[36:52] += 3
    assert measured(pixels, sound(0.5, 2.9)) == pytest.approx(32 / FPS, abs=0.01)


def test_what_cannot_be_told_is_null():
    """A freeze or a clean record made up without sound, or in the dark."""
    silent = Heard(np.zeros((1, 4 * RATE), np.float32), RATE, 0.0)
    assert measured(frozen(), silent) is None
    assert measured(frozen(), Heard(np.zeros((0, 0), np.float32), RATE, 0.0)) is None
    dark = frozen() // 12
    assert measured(dark, sound(0.5, 2.2)) is None


def test_an_inverted_channel_does_not_silence_the_sound():
    """Two channels that cancel out, under which every freeze is rest."""
    heard = sound(0.5, 2.2, channels=2)
    heard.samples[1] *= -1
    assert measured(frozen(), heard) == pytest.approx(32 / FPS, abs=0.01)
