"""Quoted words against heard ones."""

import numpy as np
import pytest

from jobs.evaluating.spoken import edits, quoted, word_error_rate


class Said:
    """What a recogniser would write; the recogniser itself is tested in curation/speech."""

    def __init__(self, text):
        self.text = text

    def words(self, sound):
        return self.text.split()


def rate(prompt, said):
    return word_error_rate(Said(said), prompt, np.zeros(16_000, np.float32))


def test_words_between_quotes_are_what_is_asked():
    """Words of the scene counted as speech; punctuation and case as errors."""
    prompt = 'A man says "It was, the best!" and “Of times.” loudly, his dog\'s ears up.'
    assert quoted(prompt) == ["it", "was", "the", "best", "of", "times"]
    assert quoted("no speech here") == []


def test_the_rate_counts_substitutions_deletions_and_insertions():
    """An edit distance that misses a kind, or is capped at 1."""
    asked = 'She says "it was the best of times"'
    found = [
        rate(asked, said)
        for said in (
            "it was the best of times",
            "it was the worst of times",
            "it was worst of",
            "",
            "one two three four five six seven eight nine",
        )
    ]
    assert found == pytest.approx([0, 1 / 6, 3 / 6, 1, 9 / 6])
    assert edits(["a", "b"], ["b", "a"]) == 2


def test_nothing_quoted_is_null():
    """A perfect rate for a clip that was asked to say nothing, or for what cannot be written."""
    assert rate("a ball falls", "") is None
    assert rate("он говорит “привет”", "hello") is None
