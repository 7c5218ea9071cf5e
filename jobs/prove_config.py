"""Settings of `reelmill prove`. Apart from the code: reading a recipe stays quick."""

from pydantic import Field

from curation.settings import Settings
from curation.world.config import Combination


class ProveConfig(Settings):
    """A measured proof on generated films."""

    minutes: float = Field(
        15.0, ge=2, le=1440, description="wall time of all: training gets what the rest leaves"
    )
    steps: int | None = Field(
        None,
        ge=20,
        description="steps of the training, to compare runs; default: what fits",
    )
    clips: int = Field(
        32, ge=4, le=1000, description="most clips a capability; fewer where the time is short"
    )
    seed: int = Field(
        90_001, ge=0, description="seed of the test films; the training films have world.seed"
    )
    held_out: tuple[Combination, ...] = Field(
        (), description="kinds of objects that no training film has, asked for apart"
    )
    probe: int = Field(
        8,
        ge=4,
        le=100,
        description="steps that tell how long a step takes, and the untrained bound",
    )
