"""Windows of a shot: whole latents, no overlap, and no edge inside a word."""

import numpy as np
import pytest

from pipelines.cuts import Speech, windows
from pipelines.scan_config import WindowConfig

ROUNDING = 0.002  # what containers round times by


def test_windows_fill_a_shot():
    """Frames lost at a shot's end to rounding, windows over its edge, or half a latent."""
    assert windows(0.0, 2.125, WindowConfig(fps=8, min_s=2, max_s=5)) == [(0.0, 17)]
    found = windows(10 / 3, 20.0, WindowConfig(fps=24, min_s=2, max_s=5))
    assert found[0] == (3.334, 117)
    assert all((n - 1) % 4 == 0 and 2 * 24 <= n <= 5 * 24 for _, n in found)
    ends = [start + n / 24 for start, n in found]
    assert all(b >= a for a, (b, _) in zip(ends, found[1:], strict=False))
    assert ends[-1] <= 20.0 + ROUNDING
    assert windows(0.0, 1.9, WindowConfig(fps=24)) == []


def chatter(rng, seconds):
    """Words as they come in speech: most touch the next, some overlap, with pauses between."""
    words, at = [], 0.0
    while at < seconds:
        length = float(rng.uniform(0.08, 0.7))
        words.append((round(at, 3), round(at + length, 3)))
        at += length + float(rng.choice([0.0, 0.0, 0.0, -0.05, 0.05, 0.4, 1.5]))
    return words


@pytest.mark.parametrize("seed", range(60))
def test_no_edge_lies_inside_a_word(seed):
    """Half a word at the start or the end of a clip, half a latent, overlap, or chance."""
    rng = np.random.default_rng(seed)
    config = WindowConfig(fps=float(rng.choice([8, 12, 16, 24, 25])), min_s=2.0, max_s=5.0)
    start = float(rng.uniform(0, 5))
    end = start + float(rng.uniform(2, 60))
    words = chatter(rng, 70)
    voice = [(70.0 + k, 70.8 + k) for k in range(3)]
    speech = Speech(words, voice)
    clips = windows(start, end, config, speech)
    assert clips == windows(start, end, config, speech)
    place = start
    for begin, frames in clips:
        stop = begin + frames / config.fps
        assert (frames - 1) % 4 == 0
        assert config.frames[0] <= frames <= config.frames[1]
        assert begin >= place - 1e-9
        assert round(begin * 1000) == pytest.approx(begin * 1000, abs=1e-6)
        assert stop <= end + ROUNDING + 1e-6
        for a, b in words:
            assert not a + 1e-5 < begin < b - 1e-5
            assert not a + 1e-5 < stop < b - 1e-5
        place = stop
    plain = sum(n for _, n in windows(start, end, config)) / config.fps
    kept = sum(n for _, n in clips) / config.fps
    assert kept >= 0.5 * plain - 5.0, "cuts that respect words waste most of the film"


def test_edges_prefer_pauses():
    """A cut between two words that touch where a pause was within reach."""
    words = [(k * 0.5, (k + 1) * 0.5) for k in range(8)] + [(4.4, 9.0)]
    ((begin, frames), *_) = windows(0.0, 10.0, WindowConfig(fps=8, min_s=2, max_s=5), Speech(words))
    assert begin == 0.0
    assert 4.0 < frames / 8 < 4.4


def test_a_start_inside_a_word_moves_behind_it():
    """A shot that begins in the middle of a word, kept with half of it."""
    ((begin, _),) = windows(1.0, 4.3, WindowConfig(fps=8, min_s=2, max_s=3), Speech([(0.7, 1.2)]))
    assert begin == pytest.approx(1.24)


def test_voice_without_words_is_avoided_but_not_holy():
    """Minutes of a language that nobody wrote down, all of them thrown away."""
    config = WindowConfig(fps=8, min_s=2, max_s=5)
    spared = windows(0.0, 6.0, config, Speech(voice=[(4.0, 5.5)]))
    assert all(not 4.0 < s + n / 8 < 5.5 for s, n in spared)
    assert windows(0.0, 20.0, config, Speech(voice=[(0.0, 20.0)])) == windows(0.0, 20.0, config)


def test_a_word_that_never_ends_costs_only_its_own_stretch():
    """An aligner's blunder, a word of 8 s, that loses what lies behind it."""
    clips = windows(0.0, 20.0, WindowConfig(fps=8, min_s=2, max_s=3), Speech([(1.0, 9.0)]))
    assert clips
    assert clips[0][0] >= 9.0
    assert clips[-1][0] + clips[-1][1] / 8 > 17.0
