"""When each word of a known text is said: PocketSphinx forced alignment, 10 ms frames."""

import math
import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.speech.spelling import spelled

FRAME_S = 0.01
# Much wider than the default of 1e-48, which loses 2 of 10 utterances that are only a little wrong.
BEAM = 1e-100
SENONE_SHIFT = 1024  # senone scores are log likelihoods over this, relative to the frame's best
NATS = 3.0  # a frame, that make a score of 1/e: right words lie near 0.6, wrong ones under 0.3


class Timed(NamedTuple):
    """Where a word was found. `score` is null when its pronunciation was guessed."""

    start: float
    end: float
    score: float | None


class Aligner:
    """One decoder, whose dictionary learns the words it meets; results do not depend on history."""

    def __init__(self) -> None:
        from pocketsphinx import Decoder  # noqa: PLC0415 - only workers that listen need it

        beams = {"beam": BEAM, "pbeam": BEAM, "wbeam": BEAM}
        self._decoder: Any = Decoder(
            samprate=16_000, lm=None, bestpath=False, cmn="batch", loglevel="FATAL", **beams
        )
        self._guessed: set[str] = set()

    def align(self, samples: NDArray[np.float32], text: str) -> list[Timed] | None:
        """Times of `written_words(text)` in 16 kHz samples [N]; None where it does not fit."""
        parts = [self.sayable(word) for word in written_words(text)]
        flat = [part for word in parts for part in word]
        if not flat:
            return None
        found = self._search(samples, flat)
        if found is None:
            return None
        rest = iter(zip(flat, found, strict=True))
        result: list[Timed] = []
        at = 0.0
        for word in parts:
            mine = [next(rest) for _ in word]
            if not mine:  # letters of another script: no time of its own
                result.append(Timed(at, at, None))
                continue
            at = mine[-1][1].end
            known = [t.score for part, t in mine if part not in self._guessed]
            sure = None if len(known) < len(mine) else float(np.mean([s or 0.0 for s in known]))
            result.append(Timed(mine[0][1].start, at, sure))
        return result

    def sayable(self, word: str) -> list[str]:
        """Dictionary entries for one written word: itself, its parts, or a guess from spelling."""
        whole = re.sub(r"^[^a-z0-9]+|[^a-z0-9]+$", "", word.lower().replace("’", "'"))
        if self._decoder.lookup_word(whole):
            return [whole]
        entries = []
        for part in re.findall(r"[^\W_]+(?:'[^\W_]+)?", whole):
            if not self._decoder.lookup_word(part):
                phones = spelled(part)
                if not phones:
                    continue
                self._decoder.add_word(part, phones, True)
                self._guessed.add(part)
            entries.append(part)
        return entries

    def _search(self, samples: NDArray[np.float32], words: list[str]) -> list[Timed] | None:
        decoder = self._decoder
        decoder.reinit_feat()  # else scores depend on the utterance before, in spite of cmn=batch
        decoder.set_align_text(" ".join(words))
        decoder.start_utt()
        sound = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        decoder.process_raw(sound, no_search=False, full_utt=True)
        decoder.end_utt()
        if decoder.hyp() is None:
            return None
        found = []
        for part in decoder.seg():
            if part.word.startswith(("<", "[", "+")):
                continue
            frames = part.end_frame - part.start_frame + 1
            score = word_score(part.ascore, frames)
            found.append(Timed(part.start_frame * FRAME_S, (part.end_frame + 1) * FRAME_S, score))
        return found if len(found) == len(words) else None


def word_score(likelihood: float, frames: int) -> float:
    """0…1 from the likelihood of a word relative to the best senone of each of its frames.

    A goodness of pronunciation (Witt & Young 2000) against all senones instead of a phone loop.
    """
    nats = -SENONE_SHIFT * math.log(max(likelihood, 1e-12)) / max(1, frames)
    return math.exp(-nats / NATS)


def written_words(text: str) -> list[str]:
    """Words of a text as written; marks that stand alone go to the word before."""
    words: list[str] = []
    for word in text.split():
        if any(c.isalnum() for c in word) or not words:
            words.append(word)
        else:
            words[-1] += " " + word
    return [word for word in words if any(c.isalnum() for c in word)]
