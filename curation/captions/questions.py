"""Yes/no questions to a model about a clip: their names, the answer's shape and its columns."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

ASK = "ask_"  # begins the columns of answers: a rule asks for the score ask_<name>
SAID = {"yes": True, "no": False, "unknown": None}

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Questions = tuple[tuple[str, str], ...]  # (name, question), sorted; none asks for a description


class YesNo(BaseModel):
    """A model's answers about one clip, by the name of the question."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answers: dict[str, Literal["yes", "no", "unknown"]]

    def columns(self) -> dict[str, bool | None]:
        """`ask_<name>` of each question; null where the model could not tell."""
        return {f"{ASK}{name}": SAID[said] for name, said in self.answers.items()}


def yes_no_schema(questions: Questions) -> dict[str, Any]:
    """JSON schema of YesNo for these questions, of each of which an answer is required."""
    names = [name for name, _ in questions]
    said = {"type": "string", "enum": list(SAID)}
    answers = {
        "type": "object",
        "properties": dict.fromkeys(names, said),
        "required": names,
        "additionalProperties": False,
    }
    return {"type": "object", "properties": {"answers": answers}, "additionalProperties": False}
