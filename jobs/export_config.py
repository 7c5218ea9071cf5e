"""What `reelmill export` registers, and what a version has to reach before an alias is its."""

from pydantic import Field, model_validator

from curation.settings import Settings
from jobs.evaluating.metrics import METRICS

BETTER = {metric.name: metric.better for metric in METRICS}


class ExportConfig(Settings):
    """Versions of MLflow's model registry."""

    model: str = Field(
        "",
        pattern=r"^([a-z0-9][a-z0-9_-]{0,63})?$",
        description="registered model that versions are of; default the run's name",
    )
    clips: int = Field(8, ge=0, le=1000, description="most clips of <out>/clips that go with it")
    require: dict[str, float] = Field(
        default_factory=dict,
        description="what `evaluate` must have found before an alias moves, e.g. {av_align: 0.2, "
        "fd_frames: 40}: the worse end of a metric's interval has to be as good as this",
    )
    fewest: int = Field(8, ge=2, description="clips that a required metric has to stand on")

    @model_validator(mode="after")
    def _known(self) -> "ExportConfig":
        for name in self.require:
            if not BETTER.get(name):
                there = ", ".join(metric for metric, better in BETTER.items() if better)
                raise ValueError(f"require: {name!r} cannot be required; there are {there}")
        return self
