"""WhisperX (Bain et al. 2023) behind the engine's interface: transcribe, align, diarise if asked.

Imported only where whisperx is: its pins (torch 2.8) may need an environment of their own.
"""

import os
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.speech.words import Segment, Spans, Word

Floats = NDArray[np.float32]


class WhisperX:
    """Models are loaded once a worker; an alignment model once a language."""

    name = "whisperx"
    gap_s = float("inf")

    def __init__(
        self,
        model: str,
        align_model: str,
        language: str,
        diarize: str,
        device: str,
        compute_type: str,
        batch_size: int,
        piece_s: float,
    ) -> None:
        import whisperx  # noqa: PLC0415 - 15 s, and another environment

        self.longest_s = piece_s
        self._device, self._language, self._batch = device, language, batch_size
        self._align_name = align_model
        self._library = whisperx
        self._model = whisperx.load_model(
            model,
            device,
            compute_type=compute_type,
            language=language or None,
            threads=int(os.environ.get("OMP_NUM_THREADS", "1")),
            local_files_only=os.path.isdir(model),  # noqa: PTH112 - a hub id is no path
        )
        self._aligners: dict[str, tuple[Any, Any] | None] = {}
        self._speakers = load_diarizer(diarize, device) if diarize else None

    def hear(self, samples: Floats, voiced: Spans) -> list[Segment]:  # noqa: ARG002 - has its own VAD
        """Segments of 16 kHz mono samples [N]; speaker names hold within a piece."""
        language, confidence = self._language, None
        whisper = self._model.model  # a faster_whisper.WhisperModel
        if not language and not whisper.model.is_multilingual:
            language = "en"
        elif not language:
            language, confidence, _ = whisper.detect_language(samples)
        heard = self._model.transcribe(samples, batch_size=self._batch, language=language)
        segments = [s for s in heard["segments"] if s["text"].strip()]
        aligner = self._aligner(language)
        if segments and aligner is not None:
            aligned = self._library.align(segments, *aligner, samples, self._device)
            segments = aligned["segments"]
        if segments and self._speakers is not None:
            turns = self._speakers(samples)
            segments = self._library.assign_word_speakers(turns, {"segments": segments})["segments"]
        seconds = len(samples) / 16_000
        return [as_segment(s, language, confidence, seconds) for s in segments]

    def _aligner(self, language: str) -> tuple[Any, Any] | None:
        """The alignment model of a language; None where WhisperX knows of none."""
        if language not in self._aligners:
            try:
                self._aligners[language] = self._library.load_align_model(
                    language, self._device, model_name=self._align_name or None
                )
            except ValueError:
                if self._align_name:
                    raise
                self._aligners[language] = None
        return self._aligners[language]


def load_diarizer(name: str, device: str) -> Any:  # noqa: ANN401 - a pyannote pipeline
    """The diarisation pipeline from a folder or hub id (a gated model needs HF_TOKEN)."""
    from whisperx.diarize import DiarizationPipeline  # noqa: PLC0415

    return DiarizationPipeline(model_name=name, token=os.environ.get("HF_TOKEN"), device=device)


def as_segment(
    raw: dict[str, Any], language: str, confidence: float | None, seconds: float
) -> Segment:
    """A segment of WhisperX as ours; all times within [0, seconds]."""
    start, end = clamp(raw["start"], seconds), clamp(raw["end"], seconds)
    words = timed(raw.get("words") or spread(raw["text"], start, end), start, end)
    return Segment(
        start,
        max(start, end),
        raw["text"].strip(),
        tuple(words),
        language,
        confidence,
        raw.get("speaker"),
    )


def spread(text: str, start: float, end: float) -> list[dict[str, Any]]:
    """Words without times: `timed` spreads them over the segment."""
    return [{"word": word} for word in text.split()] if end > start else []


def timed(raw: list[dict[str, Any]], start: float, end: float) -> list[Word]:
    """Words in order within [start, end]; those without times share the room between neighbours.

    WhisperX gives no times to what its alignment model cannot spell, such as numbers; these get
    shares of the gap by their letters, and no score.
    """
    words: list[Word] = []
    at = start
    groups = [(known, list(part)) for known, part in groupby(raw, key=lambda w: "start" in w)]
    for number, (known, part) in enumerate(groups):
        if known:
            for word in part:
                begin = min(max(word["start"], at), end)
                at = min(max(word["end"], begin), end)
                words.append(make_word(word, begin, at, word.get("score")))
            continue
        after = groups[number + 1][1][0]["start"] if number + 1 < len(groups) else end
        room = max(0.0, min(after, end) - at)
        letters = [max(1, len(word["word"])) for word in part]
        for word, count in zip(part, letters, strict=True):
            begin, at = at, at + room * count / sum(letters)
            words.append(make_word(word, begin, at, None))
    return words


def make_word(raw: dict[str, Any], start: float, end: float, score: float | None) -> Word:
    """One word; a score that is not a number is none."""
    score = None if score is None or not np.isfinite(score) else float(score)
    return Word(raw["word"], float(start), float(end), score, raw.get("speaker"))


def clamp(time: float, seconds: float) -> float:
    """`time` within [0, seconds]."""
    return float(min(max(time, 0.0), seconds))
