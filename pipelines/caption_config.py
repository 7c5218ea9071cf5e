"""Settings of the caption pass, apart from it, so that a recipe loads without Arrow or Ray."""

from typing import Any, Literal

from pydantic import Field, model_validator

from curation.captions.config import LLMConfig, RewriteConfig
from curation.files import fingerprint
from curation.settings import Settings

VERSION = 2  # raised when the same settings and evidence give other words

Origin = Literal["sidecar", "manifest", "llm", "evidence"]


class CaptionConfig(Settings):
    """Where captions come from."""

    prefer: tuple[Origin, ...] = Field(
        ("sidecar", "manifest", "evidence"),
        min_length=1,
        description="origins in order; the first that has words for a clip gives them",
    )
    llm: LLMConfig = Field(default_factory=LLMConfig)
    rewrite: RewriteConfig | None = Field(
        None, description="a language model that writes the final caption; none keeps the first"
    )

    @model_validator(mode="after")
    def acts(self) -> "CaptionConfig":
        """Refuse a list that asks twice, or a model that nobody asks."""
        if len(set(self.prefer)) != len(self.prefer):
            raise ValueError(f"prefer: an origin stands twice in {', '.join(self.prefer)}")
        if self.llm != LLMConfig() and "llm" not in self.prefer:
            raise ValueError("llm is set but prefer does not name it; add `llm` to caption.prefer")
        if self.rewrite and "llm" not in self.prefer:
            raise ValueError("rewrite works on captions of origin llm; add `llm` to caption.prefer")
        return self

    def fingerprint(self) -> str:
        """Names the caption table of these settings."""
        values: dict[str, Any] = {"version": VERSION, "prefer": list(self.prefer)}
        if "llm" in self.prefer:
            values["llm"] = self.llm.fingerprint()
        if self.rewrite:
            values["rewrite"] = self.rewrite.fingerprint()
        return fingerprint(values)
