"""What a training run left in its folder, as a comparison needs it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.config import RecipeError
from jobs.training import checkpoint
from jobs.training.log import LOG, Line, read

NONE = "not there"  # a field that one run has and another has not


@dataclass(frozen=True)
class Compared:
    """One run: its log by kind, and what its newest checkpoint says it is."""

    folder: Path
    name: str
    steps: list[Line]  # those that were applied
    held_out: list[Line]
    samples: list[Line]  # which sample clips were written when
    identity: dict[str, Any]  # recipe fields, flat

    @property
    def last(self) -> Line:
        """The last step."""
        return self.steps[-1]

    @property
    def best(self) -> float | None:
        """The lowest held-out loss."""
        return min((line["loss"] for line in self.held_out), default=None)

    @property
    def best_step(self) -> int | None:
        """Where it was."""
        found = [line["step"] for line in self.held_out if line["loss"] == self.best]
        return found[0] if found else None


def read_run(folder: Path) -> Compared:
    """A run's folder. Raises RecipeError when nothing was trained there."""
    lines = read(folder / LOG)
    steps = [line for line in lines if line["kind"] == "step" and "loss" in line]
    if not steps:
        raise RecipeError(f"{folder} holds no training run: {folder / LOG} has no step")
    try:
        found = checkpoint.newest(folder / "checkpoints")
    except checkpoint.CheckpointError as error:
        raise RecipeError(str(error)) from error
    identity = checkpoint.read_trainer(found)["identity"] if found else {}
    return Compared(
        folder,
        folder.resolve().name,
        steps,
        [line for line in lines if line["kind"] == "validation"],
        [line for line in lines if line["kind"] == "samples" and line["files"]],
        dict(flatten(identity)),
    )


def flatten(value: Any, prefix: str = "") -> list[tuple[str, Any]]:  # noqa: ANN401 - JSON
    """The leaves of nested JSON by dotted name."""
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [
        leaf
        for key, inner in value.items()
        for leaf in flatten(inner, f"{prefix}.{key}" if prefix else key)
    ]


def ranked(runs: list[Compared]) -> list[Compared]:
    """Best held-out loss first; runs without one last, by their last steps. Names become unique."""
    ordered = sorted(
        runs, key=lambda one: (one.best is None, one.best or one.last["loss"], str(one.folder))
    )
    names = [one.name for one in ordered]
    if len(set(names)) < len(names):
        ordered = [Compared(**{**vars(one), "name": str(one.folder)}) for one in ordered]
    return ordered


def differences(runs: list[Compared]) -> dict[str, list[str]]:
    """The fields that are not equal everywhere, with each run's value."""
    fields = sorted({field for one in runs for field in one.identity})
    found = {field: [str(one.identity.get(field, NONE)) for one in runs] for field in fields}
    return {field: values for field, values in found.items() if len(set(values)) > 1}
