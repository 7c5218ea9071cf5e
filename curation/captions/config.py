"""Settings of a captioner, and what names its answers."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from curation.captions.questions import Questions
from curation.captions.request import ENHANCING, PROMPT, REWRITING, prompt_fingerprint
from curation.files import fingerprint
from curation.settings import Settings

EDGE_BYTES = 1 << 20  # hashed at both ends of each weight file: a whole one takes a minute

Backend = Literal["server", "transformers", "vllm"]


class LLMConfig(Settings):
    """Which multimodal model captions, what it gets to see, and what it may cost."""

    section: ClassVar[str] = "caption.llm"  # where a recipe has these settings, for messages
    words: ClassVar[Path] = PROMPT  # what a request says
    sees: ClassVar[bool] = True  # whether it is shown a clip; else it reads alone

    backend: Backend = Field(
        "server",
        description="server (OpenAI-compatible), transformers (a folder, in Ray actors) or vllm "
        "(a folder, through ray.data.llm; needs GPUs)",
    )
    model: str = Field(
        "", description="the name that the server knows, or the model's folder for the others"
    )
    url: str = Field("", description="the server's API, e.g. http://localhost:8000/v1")
    key_env: str = Field(
        "",
        pattern=r"^[A-Z_][A-Z0-9_]*$|^$",
        description="environment variable that holds the server's API key; none sends no key",
    )
    frames: int = Field(8, ge=1, le=64, description="frames of each clip, evenly spaced")
    short_side: int = Field(448, ge=32, le=2160, description="short side of a frame in pixels")
    sound: bool = Field(True, description="send the sound; false for a model without ears")
    max_tokens: int = Field(1_024, ge=64, description="longest answer in tokens")
    temperature: float = Field(0.0, ge=0, le=2, description="0 gives the likeliest answer")
    concurrency: int = Field(16, ge=1, le=4_096, description="requests under way at once")
    timeout_s: float = Field(120.0, gt=0, description="wall clock of one request")
    tries: int = Field(4, ge=1, le=20, description="requests about one clip before it has failed")
    error_budget: int = Field(
        200, ge=0, description="failed requests of a whole pass before it stops, to be run again"
    )
    workers: int = Field(
        0, ge=0, description="decoders (server) or model actors (others); 0: one a CPU or GPU"
    )

    @field_validator("url")
    @classmethod
    def plain(cls, url: str) -> str:
        """Refuse what is no http address, and keys in it: a recipe is stored with every run."""
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give http://host:port/v1 or https://…")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, password or query; name a variable in key_env")
        return url.rstrip("/")

    @model_validator(mode="after")
    def key_goes_to_a_server(self) -> "LLMConfig":
        """A setting that would not act is a mistake."""
        if self.backend != "server" and (self.url or self.key_env):
            raise ValueError(f"backend {self.backend} has no url and no key_env")
        return self

    @property
    def teller(self) -> str:
        """What provenance calls the model; a folder by its last part: paths stay here."""
        name = self.model if self.backend == "server" else Path(self.model).name
        return f"{self.backend}:{name}"

    def asks(self) -> Questions:
        """Questions to put about each clip; none asks for a description."""
        return ()

    def wanting(self) -> str:
        """What is missing before anything can be asked; empty when nothing is."""
        if not self.model:
            return f"{self.section}.model is empty; name the served model or a model's folder"
        if self.backend == "server" and not self.url:
            return (
                f"{self.section}.url is empty; give the server's API, e.g. http://localhost:8000/v1"
            )
        if self.backend != "server" and not Path(self.model).is_dir():
            return f"{self.section}.model: {self.model!r} is no folder with a model"
        return ""

    def fingerprint(self) -> str:
        """Names the answers: model, prompt, and what is sent; not where, how fast or how often."""
        free = {"url", "key_env", "concurrency", "timeout_s", "tries", "error_budget", "workers"}
        values = self.model_dump(mode="json", exclude=free)
        weights = "" if self.backend == "server" else folder_print(self.model)
        return fingerprint([values, weights, prompt_fingerprint(self.asks(), self.words)])


class ReadingConfig(LLMConfig):
    """A language model that is shown no clip; a setting of what is shown would not act."""

    sees: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ("frames", "short_side", "sound")
    reads: ClassVar[str]  # what it reads, for messages

    sound: bool = Field(False, description="there is none to send")

    @model_validator(mode="after")
    def reads_alone(self) -> Self:
        """Raises ValueError naming the setting."""
        for name in self.shown:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is a captioner's; {self.reads}")
        return self


class RewriteConfig(ReadingConfig):
    """Which language model writes the final caption from the first one and what was measured."""

    section: ClassVar[str] = "caption.rewrite"
    words: ClassVar[Path] = REWRITING
    reads: ClassVar[str] = "a second pass reads captions alone"


class EnhanceConfig(ReadingConfig):
    """Which language model writes the structured caption of a short prompt."""

    section: ClassVar[str] = "generate.enhance"
    words: ClassVar[Path] = ENHANCING
    shown: ClassVar[tuple[str, ...]] = (*ReadingConfig.shown, "workers")
    reads: ClassVar[str] = "an enhancer reads the prompt alone"

    @model_validator(mode="after")
    def answers_here(self) -> Self:
        """It is asked while `generate` waits. Raises ValueError where it could not be."""
        if self.backend == "vllm":
            raise ValueError("backend vllm runs in Ray; start `vllm serve` and take server")
        if wanting := self.wanting():
            raise ValueError(wanting.removeprefix(f"{self.section}."))
        return self


@lru_cache(maxsize=8)
def folder_print(folder: str) -> str:
    """Names a model folder by its files: names, sizes, small ones whole, the ends of large ones."""
    digest = hashlib.blake2b(digest_size=6)
    place = Path(folder)
    if not place.is_dir():
        return ""
    for path in sorted(p for p in place.rglob("*") if p.is_file() and not p.name.startswith(".")):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(place)}:{size};".encode())
        with path.open("rb") as handle:
            digest.update(handle.read(EDGE_BYTES))
            if size > EDGE_BYTES:
                handle.seek(max(EDGE_BYTES, size - EDGE_BYTES))
                digest.update(handle.read(EDGE_BYTES))
    return digest.hexdigest()
