"""Settings of the speech pass. Apart from speech.py, so that a recipe loads without Ray."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from curation.files import fingerprint
from curation.media import Limits
from curation.settings import Settings
from curation.speech.gates import GateConfig

VERSION = 1  # raised when the same settings give other words


class WhisperXConfig(Settings):
    """WhisperX: transcribe, align, and diarise if asked. Models are folders or hub ids."""

    python: Path | None = Field(
        None,
        description="interpreter of an environment that has whisperx (`make asr`); none: this one",
    )
    model: str = Field("large-v3", description="CTranslate2 Whisper: folder, size or hub id")
    align_model: str = Field("", description="wav2vec2 folder or id; empty: the language's default")
    language: str = Field("", description="two letters; empty: detected in each piece")
    diarize: str = Field(
        "", description="pyannote diarisation folder or hub id; empty: no speakers"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="where the models run")
    gpus: float = Field(0, ge=0, description="GPUs of one worker; may be a fraction")
    compute_type: str = Field("int8", description="CTranslate2 number format: int8, float16 …")
    batch_size: int = Field(8, ge=1, description="30 s windows transcribed together")
    piece_s: float = Field(
        600, ge=30, description="seconds of sound given at once, cut in pauses: bounds memory"
    )


class SpeechConfig(Settings):
    """What hears the films, and when its words are flagged."""

    engine: Literal["none", "embedded", "whisperx"] = Field(
        "none",
        description="embedded: Moonshine tiny and PocketSphinx, English, from packages; "
        "whisperx: any language, in an environment of its own if need be",
    )
    whisperx: WhisperXConfig = Field(default_factory=WhisperXConfig)
    gates: GateConfig = Field(default_factory=GateConfig)
    workers: int = Field(0, ge=0, description="listening workers; 0 takes every CPU")

    def fingerprint(self) -> str:
        """Names what the words depend on: neither where it runs nor with how many workers."""
        values = self.model_dump(mode="json", exclude={"workers"})
        settings = values.pop("whisperx")
        if self.engine == "whisperx":
            free = {"python", "gpus", "device", "batch_size"}
            values["whisperx"] = {k: v for k, v in settings.items() if k not in free}
        return fingerprint({"version": VERSION, **values})

    def table(self) -> str | None:
        """The ledger table of words; None when no engine is asked for."""
        return f"words@{self.fingerprint()}" if self.engine != "none" else None

    def tables(self) -> dict[str, str]:
        """The score tables of clips that this pass gives."""
        return {"speech": f"scores/speech@{self.fingerprint()}"} if self.table() else {}


class ListenConfig(Settings):
    """What one listening worker needs."""

    speech: SpeechConfig
    limits: Limits
