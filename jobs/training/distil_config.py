"""How a student of few steps is made from a trained model."""

from typing import Self

from pydantic import Field, model_validator

from curation.settings import Settings

GUIDED = 3.0  # what `generate` guides with where it is not told


class DistilConfig(Settings):
    """A teacher and the way that a student learns to go in few steps (model/distil.py)."""

    teacher: str = Field(
        "",
        description="a run's folder or a step's folder; its averaged weights. Empty in a chain: "
        "the stage before",
    )
    steps: int = Field(4, ge=1, le=64, description="sampler steps of the student")
    teacher_steps: int = Field(
        32, ge=1, le=1000, description="sampler steps of the teacher, a multiple of `steps`"
    )
    ahead: int = Field(
        2,
        ge=1,
        description="steps that the teacher takes for a target; the student's own answer goes on "
        "from there to the end of the phase. teacher_steps / steps or more: the teacher alone",
    )
    guidance_video: float | None = Field(
        None, ge=0, le=50, description="text guidance of the teacher's picture; default 3, or 1 of "
        "a refiner",
    )  # fmt: skip
    guidance_audio: float | None = Field(
        None, ge=0, le=50, description="text guidance of the teacher's sound; default 3"
    )
    shift: float = Field(1.0, gt=0, le=50, description="above 1 spends more steps on noise")

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.teacher_steps % self.steps:
            near = max(1, round(self.teacher_steps / self.steps)) * self.steps
            raise ValueError(
                f"teacher_steps={self.teacher_steps} must be a multiple of steps={self.steps}, "
                f"e.g. {near}"
            )
        return self
