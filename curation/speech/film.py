"""One film heard: voice found in one pass over its sound, then words piece by piece.

Memory is bounded by the blocks and the pieces, not by the film: 4 MB a minute of sound.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curation.media import MediaReader
from curation.speech.gates import GateConfig, gates
from curation.speech.voice import Voice, pieces, voiced_spans
from curation.speech.words import RATE, Segment, Spans, Transcript, ms, shifted

BLOCK_S = 60.0  # of one sound request: 4 MB


class Engine(Protocol):
    """What writes down a piece of sound."""

    name: str
    gap_s: float  # pauses under this stay within a piece
    longest_s: float  # of a piece; a single voiced stretch is never longer than voice.LONGEST_S

    def hear(self, samples: NDArray[np.float32], voiced: Spans) -> list[Segment]:
        """Segments of 16 kHz mono `samples` [N], times from its start; `voiced` is what a VAD says.

        Words of a segment are in order and lie within the piece.
        """
        ...


def hear_film(
    reader: MediaReader, path: str, voice: Voice, engine: Engine, config: GateConfig
) -> Transcript:
    """Everything spoken in a film; no segments without a sound track.

    Raises RejectedError when the film is refused.
    """
    probe = reader.probe(path)
    if probe.audio is None:
        return Transcript(engine.name, ms(probe.seconds))
    voiced = voiced_spans(voice.probabilities(blocks(reader, path, probe.seconds)), probe.seconds)
    segments: list[Segment] = []
    for number, (start, end) in enumerate(pieces(voiced, engine.gap_s, engine.longest_s)):
        sound = reader.sound(path, RATE, start, end, mono=True)
        inside = [(a - start, b - start) for a, b in voiced if a >= start and b <= end]
        heard = [shifted(part, start, number) for part in engine.hear(sound.samples[0], inside)]
        segments += [flagged(part, voiced, config) for part in heard]
    return Transcript(engine.name, ms(probe.seconds), voiced, tuple(segments))


def blocks(reader: MediaReader, path: str, seconds: float) -> Iterator[NDArray[np.float32]]:
    """The whole sound of a film, mono 16 kHz, in blocks [N] of at most BLOCK_S."""
    start = 0.0
    while start < seconds:
        end = min(seconds, start + BLOCK_S)
        yield reader.sound(path, RATE, start, end, mono=True).samples[0]
        start = end


def flagged(segment: Segment, voiced: Spans, config: GateConfig) -> Segment:
    """The segment with its flags, words too."""
    failed = gates(segment, voiced, config)
    if not failed:
        return segment
    return replace(
        segment, flags=failed, words=tuple(replace(w, flagged=True) for w in segment.words)
    )
