"""Does a clip say the words that its prompt quotes: word error rate by the embedded recogniser."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from curation.assets import MissingModelError
from curation.speech.embedded import Embedded
from curation.speech.gates import plain_words

QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”|«([^»]+)»')


def quoted(prompt: str) -> list[str]:
    """The words between double quotes of a prompt, lower case, in order."""
    parts = (next(filter(None, found.groups())) for found in QUOTED.finditer(prompt))
    return [word for part in parts for word in plain_words(part)]


class Listener:
    """The recogniser, loaded when first asked. English alone."""

    def __init__(self) -> None:
        self._engine: Embedded | None = None

    def words(self, sound: NDArray[np.float32]) -> list[str]:
        """Words heard in 16 kHz mono, none where nothing is said. Raises MissingModelError."""
        if self._engine is None:
            try:
                self._engine = Embedded()
            except ImportError as error:
                raise MissingModelError(f"{error}: uv pip install -e '.[curate]'") from error
        heard = self._engine.hear(np.ascontiguousarray(sound), [])
        return [word for segment in heard for word in plain_words(segment.text or "")]


def word_error_rate(listener: Listener, prompt: str, sound: NDArray[np.float32]) -> float | None:
    """(substitutions + deletions + insertions) / quoted words; above 1 where more is said.

    None where the prompt quotes nothing, or in letters that an English recogniser cannot write. A
    clip that says nothing has 1.
    """
    asked = quoted(prompt)
    if not asked or not all(word.isascii() for word in asked):
        return None
    return edits(asked, listener.words(sound)) / len(asked)


def edits(asked: Sequence[str], said: Sequence[str]) -> int:
    """Levenshtein's distance in words."""
    row = list(range(len(said) + 1))
    for number, word in enumerate(asked, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(said, 1):
            changed = before + (word != other)
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, changed)
    return row[-1]
