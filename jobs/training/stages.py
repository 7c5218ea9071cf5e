"""A chain of trainings: each stage begins with the weights that the stage before it ended with.

SkyReels-V4 §4 trains so: text to image, then films, then all tasks, the sound tower alone, both
together, and the last on the best data.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from curation.settings import Settings
from jobs.training.config import TrainConfig

FOLDER = "stages"  # below the chain's `out`


class StageConfig(Settings):
    """One training of a chain."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$", description="name of the stage")
    storage: str = Field("", description="data of this stage; empty: the recipe's own")
    start: Literal["previous", "fresh"] = Field(
        "previous", description="begin with the weights of the stage before, or with none"
    )
    train: dict[str, Any] = Field(
        default_factory=dict, description="fields of `train` that differ from the recipe's"
    )


def settings(base: TrainConfig, stage: StageConfig, previous: Path | None) -> TrainConfig:
    """A stage's training. Raises ValueError naming stage and field."""
    values = merged(base.model_dump(mode="json"), stage.train)
    if previous is not None and stage.start == "previous" and not values["init"]["path"]:
        values["init"]["path"] = str(previous)
    if previous is not None and values["distil"] and not values["distil"].get("teacher"):
        values["distil"]["teacher"] = str(previous)
    try:
        return TrainConfig(**values)
    except ValidationError as error:
        issue = error.errors()[0]
        where = ".".join(map(str, issue["loc"]))
        raise ValueError(f"stage {stage.name}: train.{where}: {issue['msg']}") from error


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, section by section."""
    found = dict(base)
    for key, value in over.items():
        inner = found.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict)
        found[key] = merged(inner, value) if both else value  # type: ignore[arg-type]
    return found


def place_of(out: Path, number: int, stage: StageConfig) -> Path:
    """The folder of a stage's run."""
    return out / FOLDER / f"{number + 1:02d}-{stage.name}"


def check(base: TrainConfig, stages: tuple[StageConfig, ...]) -> None:
    """Raises ValueError for a stage that cannot be, before the first one begins."""
    names = [stage.name for stage in stages]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"stages: the name {twice[0]!r} stands twice")
    for stage in stages:
        settings(base, stage, None)
