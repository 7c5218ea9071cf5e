"""When a step's gradient is too large to be taken."""

from typing import Self

from pydantic import Field, model_validator

from curation.settings import Settings


class OutlierConfig(Settings):
    """Steps that are skipped for the size of their gradient, as those with NaN or Inf are."""

    times: float = Field(
        10.0, gt=1, description="a norm above this many times the median is not taken"
    )
    window: int = Field(
        128, ge=1, le=10_000, description="steps last taken, whose norms have that median"
    )
    after: int = Field(64, ge=1, description="steps taken before the first is judged")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.after > self.window:
            raise ValueError(f"after={self.after} is above window={self.window}; raise window")
        return self
