"""What `reelmill generate` is asked for. Apart from the code: reading a recipe stays quick."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from curation.settings import Settings


class GenerateConfig(Settings):
    """Settings of `reelmill generate`."""

    prompt: str | tuple[str, ...] = Field(
        (), description="what to show, one or a list; empty takes captions of held-out clips"
    )
    count: int = Field(4, ge=1, le=1000, description="clips; prompts are taken in turn")
    seed: int = Field(0, ge=0, description="seed of the first clip; each next clip adds one")
    checkpoint: Path | None = Field(
        None, description="step folder, or folder of them; default the newest of <out>/checkpoints"
    )
    image: Path | None = Field(None, description="PNG or JPEG that becomes the first frame")
    clip: Path | None = Field(None, description="film whose end is continued")
    keep: int | None = Field(
        None, ge=1, description="frames of `clip` to continue from, 1 + 4k; default about half"
    )
    frames: int | None = Field(None, ge=1, le=10_001, description="length in frames, 1 + 4k")
    seconds: float | None = Field(None, gt=0, le=600, description="length, instead of frames")
    height: int | None = Field(None, ge=8, le=4096, description="pixels; default as trained")
    width: int | None = Field(None, ge=8, le=4096, description="pixels; default as trained")
    fps: float | None = Field(None, gt=0, le=120, description="frames a second; default as trained")
    steps: int = Field(30, ge=1, le=1000, description="sampler steps")
    guidance_video: float = Field(
        3.0, ge=0, le=50, description="how strongly text pulls the picture"
    )
    guidance_audio: float = Field(3.0, ge=0, le=50, description="how strongly text pulls the sound")
    shift: float = Field(1.0, gt=0, le=50, description="above 1 spends more steps on noise")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where the model runs")
    threads: int = Field(0, ge=0, le=256, description="CPU threads; 0 takes all cores")

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts as a list."""
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.image and self.clip:
            raise ValueError("give image or clip, not both")
        if self.keep and not self.clip:
            raise ValueError("keep says how much of `clip` is kept; give clip too")
        if self.frames and self.seconds:
            raise ValueError("give frames or seconds, not both")
        if any(not prompt.strip() for prompt in self.prompts):
            raise ValueError("prompt: an empty prompt says nothing; leave it out")
        return self
