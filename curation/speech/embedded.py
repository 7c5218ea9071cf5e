"""The small engine that runs anywhere: Moonshine tiny for text, PocketSphinx for word times.

English only, and it knows that: Moonshine writes plausible English over any language, but the
aligner does not find those sounds in the recording. Such a piece has no text and no language.
Measured (docs/speech.md): 20 English recordings lie at 0.7 to 2.3 nats a frame, 42 Spanish and
Italian ones at 3.6 and above or cannot be aligned at all.
"""

import math

import numpy as np
from numpy.typing import NDArray

from curation.speech.align import NATS, Aligner, Timed, written_words
from curation.speech.voice import package_folder
from curation.speech.words import RATE, Segment, Spans, Word

FOREIGN = 3.0  # nats a frame by which the sounds miss the text
SHARPNESS = 2.5  # of the step from English to not English
GUESSED = 2.0  # nats: a text full of words that no dictionary holds is not English


class Embedded:
    """Moonshine tiny-en (Jeffries et al. 2024) and the aligner; one piece at a time."""

    name = "embedded"
    gap_s = 0.6  # a longer pause ends an utterance
    longest_s = 20.0  # Moonshine was trained on up to 30 s

    def __init__(self) -> None:
        from moonshine_voice import ModelArch, Transcriber  # noqa: PLC0415 - only in workers

        folder = package_folder("moonshine_voice") / "assets" / "tiny-en"
        # Its own voice detector would cut pieces again, and not at pauses.
        self._asr = Transcriber(str(folder), ModelArch.TINY, options={"vad_threshold": "0.0"})
        self._aligner = Aligner()

    def hear(self, samples: NDArray[np.float32], voiced: Spans) -> list[Segment]:
        """One segment for 16 kHz mono samples [N], none where nothing was written."""
        if not len(samples):
            return []
        lines = self._asr.transcribe_without_streaming(samples.tolist(), RATE).lines
        text = " ".join(line.text.strip() for line in lines if line.text.strip())
        written = written_words(text)
        end = len(samples) / RATE
        if not written:
            return [Segment(0.0, end, None)] if voiced else []
        times = self._aligner.align(samples, text)
        confidence = english(times)
        if times is None or confidence < 0.5:
            return [Segment(0.0, end, None)]
        words = tuple(
            Word(word, max(0.0, t.start), min(end, t.end), t.score)
            for word, t in zip(written, times, strict=True)
        )
        return [Segment(0.0, end, text, words, "en", confidence)]


def english(times: list[Timed] | None) -> float:
    """How sure it is that aligned words were said, 0…1; 0 where they could not be aligned."""
    if not times:
        return 0.0
    scored = [(t.end - t.start, t.score) for t in times if t.score is not None]
    seconds = sum(length for length, _ in scored)
    if seconds <= 0:
        return 0.0
    nats = NATS * sum(length * -math.log(max(score, 1e-9)) for length, score in scored) / seconds
    nats += GUESSED * (1 - len(scored) / len(times))
    return 1 / (1 + math.exp(SHARPNESS * (nats - FOREIGN)))
