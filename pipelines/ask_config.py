"""Settings of the questions, apart from the pass, so that a recipe loads without Arrow or Ray."""

from typing import ClassVar

from pydantic import Field, model_validator

from curation.captions.config import LLMConfig
from curation.captions.questions import Name, Question, Questions


class AskConfig(LLMConfig):
    """Which model answers yes/no questions about clips, and which questions."""

    section: ClassVar[str] = "ask"

    questions: dict[Name, Question] = Field(
        default_factory=dict,
        max_length=32,
        description="name: a question that yes or no answers; a rule asks for ask_<name>",
    )

    @model_validator(mode="after")
    def acts(self) -> "AskConfig":
        """Refuse a model that nobody asks anything."""
        if self.model and not self.questions:
            raise ValueError("a model is set but there are no questions; add `questions`")
        return self

    def asks(self) -> Questions:
        """(name, question) of each, by name."""
        return tuple(sorted(self.questions.items()))

    def table(self) -> str | None:
        """The ledger table of the answers; None when nothing is asked."""
        return f"scores/asks@{self.fingerprint()}" if self.questions else None
