"""Settings of `reelmill evaluate`. Apart from the code: reading a recipe stays quick."""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from curation.settings import Settings


class Network(Settings):
    """A file, ONNX or TorchScript, and how its input is to be; a path alone is enough."""

    path: Path = Field(description="file of the network, .onnx or TorchScript")
    fps: float = Field(0, ge=0, description="frames a second that it sees; 0: as its kind says")
    size: tuple[int, int] = Field((224, 224), description="height and width that it sees")
    frames: int = Field(16, ge=2, description="frames at once")
    rate: int = Field(16_000, ge=8_000, le=48_000, description="samples a second that it hears")
    seconds: float = Field(0, ge=0, description="sound at once; 0: as its kind says")
    text: Path | None = Field(None, description="clap: file of the text tower")
    tokenizer: Path | None = Field(None, description="clap: folder of the text tower's tokenizer")

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the recipe has
        return {"path": value} if isinstance(value, str | Path) else value


class Networks(Settings):
    """The field's networks, by what they are for. docs/evaluate.md has the signatures."""

    desync: Network | None = Field(None, description="Synchformer: offset of sound and picture")
    fvd: Network | None = Field(None, description="I3D: features of clips for FVD")
    sound: Network | None = Field(None, description="PaSST or PANNs: features and classes of sound")
    clap: Network | None = Field(None, description="CLAP: prompt and sound")
    dino: Network | None = Field(None, description="DINO: VBench's subject consistency")
    clip_image: Network | None = Field(None, description="CLIP: VBench's background consistency")
    lpips: Network | None = Field(None, description="LPIPS on kept regions")

    @model_validator(mode="after")
    def _clap_reads(self) -> "Networks":
        if self.clap and not (self.clap.text and self.clap.tokenizer):
            raise ValueError("clap needs `text` and `tokenizer` beside its path")
        return self


class EvaluateConfig(Settings):
    """Clips beside their scores. `judge.clip` and `judge.lips` name networks of the judges."""

    side: int = Field(
        256, ge=64, le=1080, description="short side in pixels at which pictures are read"
    )
    seconds: float = Field(10.0, gt=0, le=60, description="most of a clip that is looked at")
    clips: int = Field(0, ge=0, description="most clips of a folder, the first by name; 0: all")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")
    shown: int = Field(24, ge=0, le=200, description="clips shown on the page")
    networks: Networks = Field(default_factory=Networks)
