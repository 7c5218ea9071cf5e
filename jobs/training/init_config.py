"""Which weights a new run begins with."""

from pydantic import Field

from curation.settings import Settings


class InitConfig(Settings):
    """Weights that a new run begins with."""

    path: str = Field(
        "", description="folder of a run, an export or a step, or a safetensors file; empty: fresh"
    )
    only: tuple[str, ...] = Field(
        (),
        description="which parameters to take: video or audio for a tower, or patterns like "
        "blocks.0.*; empty takes all",
    )
    rename: dict[str, str] = Field(
        default_factory=dict,
        description="beginnings of names in the file: what stands for them in the model",
    )
