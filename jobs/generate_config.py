"""What `reelmill generate` is asked for. Apart from the code: reading a recipe stays quick."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from curation.captions.config import EnhanceConfig
from curation.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
Box = tuple[Share, Share, Share, Share]  # left, top, right, bottom of the picture


Make = Literal["both", "sound", "picture", "audio", "video", "image"]


class Keyframe(Settings):
    """A picture at a time of the clip."""

    image: Path = Field(description="PNG or JPEG")
    at: float = Field(ge=0, description="seconds")


class ReferenceFile(Settings):
    """A file that a prompt speaks of by its tag; a plain path will do."""

    path: Path = Field(description="PNG or JPEG for an image, a film, or a sound")
    start: float = Field(0.0, ge=0, description="seconds into a film or sound")
    seconds: float | None = Field(
        None, gt=0, le=600, description="how much of it; default the clip's length"
    )

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:  # noqa: ANN401 - what YAML holds
        return {"path": value} if isinstance(value, str | Path) else value


NAME = "image_[1-9][0-9]?|video_[1-9][0-9]?|Audio-[0-9]{1,2}"  # of a reference
Tag = Annotated[str, StringConstraints(pattern=f"^({NAME})$")]


class GenerateConfig(Settings):
    """Settings of `reelmill generate`."""

    prompt: str | tuple[str, ...] = Field(
        (), description="what to show, one or a list; empty takes captions of held-out clips"
    )
    enhance: EnhanceConfig | None = Field(
        None, description="a language model that writes each prompt as a structured caption"
    )
    count: int = Field(4, ge=1, le=1000, description="clips; prompts are taken in turn")
    seed: int = Field(0, ge=0, description="seed of the first clip; each next clip adds one")
    checkpoint: Path | None = Field(
        None, description="step folder, or folder of them; default the newest of <out>/checkpoints"
    )
    lora: str | tuple[str, ...] = Field(
        (), description="adapters of train.lora, one or a list: PATH or PATH@SCALE, of a file, a "
        "step folder or a run's folder",
    )  # fmt: skip
    refiner: Path | None = Field(
        None, description="step folder of a refiner, or folder of them, that makes clips large"
    )
    refiner_steps: int | None = Field(
        None, ge=1, le=1000, description="sampler steps of the refiner; default 8, of a distilled "
        "one its own",
    )  # fmt: skip
    image: Path | None = Field(None, description="PNG or JPEG that becomes the first frame")
    last_image: Path | None = Field(None, description="PNG or JPEG that becomes the last frame")
    keyframes: tuple[Keyframe, ...] = Field((), description="pictures at times, {image, at}")
    clip: Path | None = Field(None, description="film whose end is continued")
    extend: Literal["forward", "backward"] = Field(
        "forward", description="backward makes what comes before the beginning of `clip`"
    )
    keep: int | None = Field(
        None,
        ge=1,
        description="frames of `clip` to continue from, 1 + 4k (backward 4k); default about half",
    )
    source: Path | None = Field(None, description="film that is edited, as long as the clip")
    source_start: float = Field(0.0, ge=0, description="seconds into `source`")
    mask: Path | None = Field(
        None, description="PNG, JPEG or film of the size of `source`: what is white is made anew"
    )
    box: Box | None = Field(
        None, description="left, top, right, bottom of what is made anew, shares of the picture"
    )
    span: tuple[float, float] | None = Field(
        None, description="seconds from, to of the clip in which mask or box count; default all"
    )
    inside: Box | None = Field(
        None, description="outpainting: where `source` stands in the picture, in shares"
    )
    sound: Path | None = Field(None, description="film or sound file whose sound is given")
    make: Make = Field(
        "both",
        description="sound: for the picture of `source`; picture: keeps its sound; audio, video, "
        "image: only a sound, a mute film, a picture",
    )
    references: dict[Tag, ReferenceFile] = Field(
        default_factory=dict,
        max_length=9,
        description="files of the prompt's tags, e.g. {image_1: cat.png, Audio-0: voice.wav}",
    )
    show_references: bool = Field(
        False, description="show references to a multimodal text encoder, too"
    )
    frames: int | None = Field(None, ge=1, le=10_001, description="length in frames, 1 + 4k")
    seconds: float | None = Field(None, gt=0, le=600, description="length, instead of frames")
    piece: float | None = Field(
        None, gt=0, le=600, description="seconds that are made at once; a longer clip is made in "
        "such pieces, each going on from the one before. Default: the longest that was trained",
    )  # fmt: skip
    overlap: float | None = Field(
        None, ge=0, le=600, description="seconds that two pieces share; default a third of a piece"
    )
    height: int | None = Field(None, ge=8, le=4096, description="pixels; default as trained")
    width: int | None = Field(None, ge=8, le=4096, description="pixels; default as trained")
    fps: float | None = Field(None, gt=0, le=120, description="frames a second; default as trained")
    steps: int | None = Field(
        None, ge=1, le=1000, description="sampler steps; default 30, of a distilled model its own"
    )
    guidance_video: float | None = Field(
        None, ge=0, le=50, description="how strongly text pulls the picture; default 3, of a "
        "distilled model 1: its teacher's guidance is in it",
    )  # fmt: skip
    guidance_audio: float | None = Field(
        None, ge=0, le=50, description="how strongly text pulls the sound; default as for picture"
    )
    sampler: Literal["euler", "heun", "dpmpp"] = Field(
        "euler", description="heun takes two passes a step, dpmpp is of second order at one"
    )
    cross_video: float = Field(
        1.0, ge=0, le=50, description="how strongly the sound pulls the picture; 1 is off"
    )
    cross_audio: float = Field(
        1.0, ge=0, le=50, description="how strongly the picture pulls the sound; 1 is off"
    )
    reference_video: float = Field(
        1.0, ge=0, le=50, description="how strongly references pull the picture; 1 is off"
    )
    reference_audio: float = Field(
        1.0, ge=0, le=50, description="how strongly references pull the sound; 1 is off"
    )
    rescale: float = Field(
        0.0, ge=0, le=1, description="share by which guidance's larger spread is taken back"
    )
    interval: tuple[Share, Share] = Field(
        (0.0, 1.0), description="of the way from noise to clip in which guidance works"
    )
    shift: float = Field(1.0, gt=0, le=50, description="above 1 spends more steps on noise")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where the model runs")
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads; 0 takes all cores, with workers one"
    )
    workers: int = Field(
        0, ge=0, le=1024, description="Ray actors that share the requests; 0 makes them here"
    )

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts as a list."""
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt

    @model_validator(mode="after")
    def _possible(self) -> Self:
        frames = [
            *(["image"] if self.image else []),
            *(["last_image"] if self.last_image else []),
            *(["keyframes"] if self.keyframes else []),
        ]
        if (frames and (self.clip or self.source)) or (self.clip and self.source):
            names = [*frames, *(n for n in ("clip", "source") if getattr(self, n))]
            raise ValueError(f"give {' or '.join(names)}, not both")
        if self.keep and not self.clip:
            raise ValueError("keep says how much of `clip` is kept; give clip too")
        edits = [n for n in ("mask", "box", "span", "inside") if getattr(self, n) is not None]
        if edits and not self.source:
            raise ValueError(f"{edits[0]} says what of `source` is made anew; give source too")
        if self.source and self.make != "sound" and not edits:
            raise ValueError(
                "source: say what is made anew: mask, box, span or inside, or make: sound"
            )
        if sum(n in edits for n in ("mask", "box", "inside")) > 1:
            raise ValueError("give one of mask, box and inside")
        if self.make == "sound" and (not self.source or edits or self.sound):
            raise ValueError("make: sound takes the whole picture of `source` and nothing else")
        if self.make == "picture" and not (self.source or self.sound):
            raise ValueError("make: picture keeps the sound of `source` or `sound`; give one")
        for name in ("box", "inside"):
            where = getattr(self, name)
            if where and not (where[0] < where[2] and where[1] < where[3]):
                raise ValueError(f"{name}: left < right and top < bottom, got {where}")
        if self.span and not self.span[0] < self.span[1]:
            raise ValueError(f"span: from < to, got {self.span}")
        self._alone(frames)
        if self.frames and self.seconds:
            raise ValueError("give frames or seconds, not both")
        if any(not prompt.strip() for prompt in self.prompts):
            raise ValueError("prompt: an empty prompt says nothing; leave it out")
        return self

    def _alone(self, frames: list[str]) -> None:
        """Raises ValueError where only one of picture and sound is made and the other is given."""
        if self.show_references and not self.references:
            raise ValueError("show_references: there are none to show; give references too")
        for name in ("reference_video", "reference_audio"):
            if getattr(self, name) != 1 and not self.references:
                raise ValueError(f"{name}: there are none that could pull; give references too")
        if self.make == "video" and self.sound:
            raise ValueError("make: video makes a mute film; for a given sound take make: picture")
        if self.make not in ("audio", "image"):
            return
        given = [*frames, *(n for n in ("clip", "source", "sound") if getattr(self, n))]
        if given:
            raise ValueError(
                f"make: {self.make} is made from text and references; take out {', '.join(given)}"
            )
        if self.make == "image" and (self.frames or self.seconds):
            raise ValueError("make: image is one frame; take out frames and seconds")
