"""The same sound is known again; other sounds are not."""

import numpy as np
import pytest
from scipy import signal

from curation.sound_marks import keep_best, same_sounds, sound_marks

RATE = 22_050


def tune(seed, seconds=4.0):
    """A melody of two voices over soft noise, as different from seed to seed as songs are."""
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 0.003, round(seconds * RATE))
    for at in np.arange(0, seconds, 0.11):
        t = np.arange(round(min(0.3, seconds - at) * RATE)) / RATE
        place = round(at * RATE)
        for pitch in 220 * 2 ** (rng.integers(0, 44, 2) / 12):
            sound[place : place + t.size] += 0.2 * np.sin(2 * np.pi * pitch * t) * np.exp(-6 * t)
    return sound


def coded_anew(sound, rate):
    """Another rate, less treble, other level, noise and 8 bits: what a re-upload does."""
    slow = signal.resample_poly(sound, 160, 441)  # 8 kHz
    slow = signal.resample_poly(slow, rate, 8_000) * 0.4
    noisy = slow + np.random.default_rng(9).normal(0, 0.004, slow.size)
    return np.round(noisy * 128) / 128


def test_a_song_is_known_again_under_another_clip():
    """A re-upload of a song that counts as another song, or that matches the wrong one."""
    songs = [tune(seed) for seed in range(12)]
    copies = [coded_anew(song[round(0.41 * RATE) :], 16_000) for song in songs]
    marks = [sound_marks(song, RATE) for song in songs]
    marks += [sound_marks(copy, 16_000) for copy in copies]
    found = same_sounds(marks, range(24))
    assert sum(found.get(12 + i) == i for i in range(12)) >= 11
    assert all(value == key - 12 for key, value in found.items())


def test_other_sounds_are_not_taken_for_the_same():
    """Chance that joins: 60 songs of the same scale, and steady tones."""
    tone = np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)
    marks = [sound_marks(tune(seed), RATE) for seed in range(60)]
    marks += [sound_marks(tone, RATE), sound_marks(tone * 0.5, RATE)]
    assert same_sounds(marks[:60], range(60)) == {}


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.zeros(10), np.full(3 * RATE, 0.2)])
def test_nothing_has_no_marks(sound):
    """Silence that repeats all other silence, or a trace from a short clip."""
    assert sound_marks(sound, RATE) is None


def test_the_best_of_a_group_is_named():
    """A chain of pairs that keeps two of one sound, or names the worst."""
    assert keep_best([(0, 1), (1, 2), (4, 5)], [3, 1, 2, 0, 9, 8]) == {0: 1, 2: 1, 4: 5}
    assert same_sounds([None, None], [0, 1]) == {}
