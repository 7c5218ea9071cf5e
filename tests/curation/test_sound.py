"""Sound scores on tones and clicks whose values are known."""

import numpy as np
import pytest
from scipy import signal

from curation.sound import loudness, onsets, sound_scores

RATE = 48_000


def tone(db=-23.0, hz=997.0, seconds=5.0, rate=RATE):
    t = np.arange(int(seconds * rate)) / rate
    return (10 ** (db / 20) * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None]


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_loudness_is_bs1770(rate):
    """A weighting that is wrong at other sample rates. EBU Tech 3341: 997 Hz at -23 dBFS in both
    channels of a stereo file is -23 LUFS, and in one channel 3 dB less."""
    stereo = np.concatenate([tone(rate=rate)] * 2)
    assert loudness(stereo, rate) == pytest.approx(-23.0, abs=0.15)
    assert loudness(tone(rate=rate), rate) == pytest.approx(-26.0, abs=0.15)


def test_loudness_gates_silence():
    """Pauses that make speech look quiet. EBU Tech 3341 case 3: -36, -23, -36 dBFS is -23 LUFS."""
    parts = [tone(-36, seconds=10), tone(-23, seconds=60), tone(-36, seconds=10)]
    stereo = np.repeat(np.concatenate(parts, axis=1), 2, axis=0)
    assert loudness(stereo, RATE) == pytest.approx(-23.0, abs=0.15)
    assert loudness(np.zeros((2, RATE), np.float32), RATE) is None
    assert loudness(tone(seconds=0.2), RATE) is None


def test_levels_and_silence():
    """A silent track that counts as sound."""
    silent = sound_scores(np.zeros((2, RATE), np.float32), RATE)
    assert (silent["has_sound"], silent["silence_share"], silent["channels"]) == (0, 1, 2)
    assert sound_scores(np.zeros((0, 0), np.float32), RATE) == {"has_sound": 0, "channels": 0}
    half = np.concatenate([tone(seconds=1), np.zeros((1, RATE), np.float32)], axis=1)
    found = sound_scores(half, RATE)
    assert found["silence_share"] == pytest.approx(0.5, abs=0.02)
    assert found["rms_dbfs"] == pytest.approx(-29.0, abs=0.1)
    assert found["peak_dbfs"] == pytest.approx(-23.0, abs=0.1)


def test_clipping_needs_runs():
    """One sample at full scale counted as clipping, or a clipped track passed."""
    assert sound_scores(tone(0), RATE)["clipped_share"] < 0.06
    loud = np.clip(tone(0) * 4, -1, 1)
    assert sound_scores(loud, RATE)["clipped_share"] > 0.5
    one = tone(-20)
    one[0, 100] = 1.0
    assert sound_scores(one, RATE)["clipped_share"] == 0


def test_bandwidth_tells_upsampled_sound():
    """A 16 kHz recording sold as 48 kHz."""
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    narrow = signal.sosfilt(signal.butter(16, 4000, fs=RATE, output="sos"), noise)
    wide = sound_scores(noise[None].astype(np.float32), RATE)["bandwidth_hz"]
    assert wide > 20_000
    assert sound_scores(narrow[None].astype(np.float32), RATE)["bandwidth_hz"] < 8_000


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_onsets_are_in_time(rate):
    """Onsets that come a window early or late: every offset of sync would carry it."""
    true = [0.4, 0.93, 1.71]
    sound = np.zeros(2 * rate)
    rng = np.random.default_rng(0)
    for t in true:
        n = int(0.2 * rate)
        sound[int(t * rate) : int(t * rate) + n] += rng.normal(0, 0.3, n) * np.exp(
            -np.arange(n) / n * 6
        )
    found = onsets(sound, rate)
    assert len(found) == 3
    assert np.abs(found - true).max() < 0.01
