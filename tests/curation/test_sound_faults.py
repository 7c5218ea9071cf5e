"""Faults of sound whose size is known."""

import numpy as np
import pytest

from curation.sound import sound_scores
from curation.sound_faults import fault_scores, holes

RATE = 48_000


def speechlike(seconds=4.0, seed=0):
    """Bursts of wide noise with pauses, [N]; what speech does to a spectrum."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    return 0.2 * np.maximum(0, np.sin(2 * np.pi * 1.7 * t)) * rng.standard_normal(t.size)


def stereo(left, right):
    return np.stack([left, right]).astype(np.float32)


@pytest.mark.parametrize("snr", [5.0, 20.0, 35.0])
def test_snr_is_that_of_the_noise_added(snr):
    """A ratio that follows the loudness of the sound, or pauses that are not used."""
    sound = speechlike()
    noise = np.random.default_rng(1).standard_normal(sound.size)
    noise *= np.sqrt(np.square(sound).mean() / np.square(noise).mean() / 10 ** (snr / 10))
    found = fault_scores((sound + noise)[None].astype(np.float32), RATE)
    assert found["snr_db"] == pytest.approx(snr, abs=3)
    level = 10 * np.log10(np.square(noise).mean())
    assert found["noise_dbfs"] == pytest.approx(level, abs=2)
    assert fault_scores(sound[None].astype(np.float32), RATE)["snr_db"] > 50


def test_held_notes_are_neither_noise_nor_hum():
    """Organ music that is thrown away as noise."""
    t = np.arange(4 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * f * t) for f in (110, 138.6, 164.8, 440)) / 20
    found = fault_scores(chord[None].astype(np.float32), RATE)
    assert found["snr_db"] > 40
    assert found["hum_db"] < -25


@pytest.mark.parametrize("mains", [50, 60])
def test_hum_is_found_at_its_level(mains):
    """Hum of one country only, or a level of another meaning."""
    t = np.arange(4 * RATE) / RATE
    sound = speechlike()
    hum = np.sin(2 * np.pi * mains * t) + 0.5 * np.sin(4 * np.pi * mains * t)
    hum *= np.sqrt(np.square(sound).mean() / np.square(hum).mean() / 10)  # -10 dB
    found = fault_scores((sound + hum)[None].astype(np.float32), RATE)["hum_db"]
    assert found == pytest.approx(-10.4, abs=2)
    assert fault_scores(sound[None].astype(np.float32), RATE)["hum_db"] < -25


def test_channels_that_lie():
    """Mono sold as stereo, a channel that is off, a plug that is wired wrongly."""
    left, right = speechlike(seed=0), speechlike(seed=1)
    wide = fault_scores(stereo(left, right), RATE)
    assert abs(wide["channel_correlation"]) < 0.2
    assert abs(wide["side_db"]) < 2
    assert wide["dead_channels"] == 0
    same = fault_scores(stereo(left, left), RATE)
    assert (same["channel_correlation"], same["side_db"]) == (pytest.approx(1), -120)
    panned = fault_scores(stereo(left, 0.3 * left), RATE)
    assert panned["channel_correlation"] == pytest.approx(1)
    assert panned["side_db"] > -10  # one source at one side is honest stereo
    turned = fault_scores(stereo(left, -left), RATE)
    assert turned["channel_correlation"] == pytest.approx(-1)
    dead = fault_scores(stereo(left, 0 * left), RATE)
    assert dead["dead_channels"] == 1
    assert "channel_correlation" not in dead
    assert "channel_correlation" not in fault_scores(left[None].astype(np.float32), RATE)


def test_an_inverted_pair_is_still_heard():
    """Scores of a mix in which the channels cancel out."""
    left = speechlike()
    found = sound_scores(stereo(left, -left), RATE)
    assert found["band_share"] > 0.9
    assert found["snr_db"] > 40


def test_dc_and_band():
    """An offset that no ear hears but every network sees, and a rate that is only declared."""
    sound = speechlike()
    offset = fault_scores((sound + 0.05)[None].astype(np.float32), RATE)
    assert offset["dc_offset"] == pytest.approx(0.05, abs=0.003)
    spectrum = np.fft.rfft(sound)
    spectrum[np.fft.rfftfreq(sound.size, 1 / RATE) > 6_000] = 0
    narrow = np.fft.irfft(spectrum).astype(np.float32)
    assert fault_scores(narrow[None], RATE)["band_share"] == pytest.approx(0.25, abs=0.02)
    assert fault_scores(sound[None].astype(np.float32), RATE)["band_share"] > 0.95


def test_holes_are_sudden_at_both_ends():
    """Pauses and decays that count as holes, or holes that are missed."""
    t = np.arange(2 * RATE) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 300 * t)
    assert holes(sound, RATE) == []
    cut = sound.copy()
    cut[RATE // 2 : RATE // 2 + 2_400] = 0
    ((start, end),) = holes(cut, RATE)
    assert (start, end) == (pytest.approx(0.5, abs=0.004), pytest.approx(0.55, abs=0.004))
    knocks = sound * np.exp(-((t % 0.5) / 0.03))  # dies away, comes back at once
    assert holes(knocks, RATE) == []
    long = sound.copy()
    long[RATE // 2 : RATE // 2 + RATE] = 0  # a second of silence is a pause
    assert holes(long, RATE) == []
