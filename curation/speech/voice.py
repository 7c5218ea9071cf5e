"""Where somebody speaks: Silero VAD over a film of any length, and the pieces engines are given."""

from collections.abc import Iterable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.speech.words import RATE, Spans, ms

PACKAGE = "silero_vad"
WINDOW, CONTEXT = 512, 64  # samples: 32 ms, and what the net sees before them
# Silero's own defaults: voice begins over 0.5 and ends when it stays under 0.35 for 100 ms; spans
# grow by 30 ms on each side.
BEGINS, ENDS = 0.5, 0.35
MIN_PAUSE_S, PAD_S = 0.1, 0.03
MIN_VOICE_S = 0.15  # Silero's 250 ms would drop "no" and "yes"
LONGEST_S = 20.0  # a longer stretch is split where its voice is weakest

Floats = NDArray[np.float32]


class Voice:
    """Silero VAD as ONNX on one thread, with the weights of its package."""

    def __init__(self) -> None:
        import onnxruntime  # noqa: PLC0415 - only workers that listen need it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._net = onnxruntime.InferenceSession(
            str(package_folder(PACKAGE) / "data" / "silero_vad.onnx"),
            options,
            providers=["CPUExecutionProvider"],
        )

    def probabilities(self, blocks: Iterable[Floats]) -> Floats:
        """Probability of voice of each 32 ms; `blocks` are consecutive 16 kHz samples [N]."""
        state = np.zeros((2, 1, 128), np.float32)
        rate = np.array(RATE, np.int64)
        seen, rest = np.zeros(CONTEXT, np.float32), np.zeros(0, np.float32)
        found: list[float] = []

        def hear(window: Floats) -> None:
            nonlocal state, seen
            inputs = {"input": np.concatenate([seen, window])[None], "state": state, "sr": rate}
            probability, state = self._net.run(None, inputs)
            seen = window[-CONTEXT:]
            found.append(float(probability.squeeze()))

        for block in blocks:
            rest = np.concatenate([rest, block])
            whole = len(rest) // WINDOW * WINDOW
            for window in rest[:whole].reshape(-1, WINDOW):
                hear(window)
            rest = rest[whole:]
        if len(rest):
            hear(np.pad(rest, (0, WINDOW - len(rest))))
        return np.array(found, np.float32)


def package_folder(name: str) -> Path:
    """Where a package lies, without importing it. Raises ModuleNotFoundError with the cure."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"{name} is not installed: make setup, or pip install '.[curate]'"
        )
    return Path(spec.submodule_search_locations[0])


def voiced_spans(probabilities: Floats, seconds: float) -> Spans:
    """Voiced stretches in seconds, none longer than LONGEST_S, all within [0, seconds]."""
    step = WINDOW / RATE
    pause = round(MIN_PAUSE_S / step)
    spans: list[tuple[int, int]] = []  # first window, window after the last
    begun: int | None = None
    quiet = 0
    for i, p in enumerate([*probabilities.tolist(), *[0.0] * (pause + 1)]):
        if p >= BEGINS:
            begun, quiet = (i if begun is None else begun), 0
        elif begun is not None and p >= ENDS:
            quiet = 0
        elif begun is not None:
            quiet += 1
            if quiet > pause:
                spans.append((begun, i + 1 - quiet))
                begun, quiet = None, 0
    long = [s for s in spans if (s[1] - s[0]) * step >= MIN_VOICE_S]
    cut = [part for span in long for part in split(probabilities, *span)]
    edges = [(a * step, b * step) for a, b in cut]
    return padded(edges, seconds)


def split(probabilities: Floats, first: int, end: int) -> list[tuple[int, int]]:
    """The span of windows in parts of at most LONGEST_S, parted where voice is least sure."""
    most = int(LONGEST_S * RATE / WINDOW)
    parts = []
    while end - first > most:
        half = first + most // 2
        weak = np.convolve(probabilities[half - 1 : first + most + 1], np.ones(3), "valid")
        at = half + int(np.argmin(weak))
        parts.append((first, at))
        first = at
    return [*parts, (first, end)]


def padded(spans: Spans, seconds: float) -> Spans:
    """Spans grown by PAD_S, or to the middle of a shorter pause."""
    if not spans:
        return []
    edges = [min(PAD_S, (b[0] - a[1]) / 2) for a, b in pairwise(spans)]
    before, after = [PAD_S, *edges], [*edges, PAD_S]
    grown = [
        (ms(max(0.0, a - x)), ms(min(seconds, b + y)))
        for (a, b), x, y in zip(spans, before, after, strict=True)
    ]
    return [(a, b) for a, b in grown if b > a]


def pieces(voiced: Spans, gap: float, longest: float) -> Spans:
    """Neighbouring spans together while pauses stay under `gap` and the piece under `longest`."""
    result: Spans = []
    for start, end in voiced:
        if result and start - result[-1][1] < gap and end - result[-1][0] <= longest:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return result
