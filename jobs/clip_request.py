"""One clip to make, as plain values: what stands in `clip.json` and makes the same bytes again."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from curation.files import fingerprint, sha256_file
from curation.settings import Settings
from jobs.config import RecipeError
from jobs.few_steps import REFINER_STEPS, sampling_fields, steps_of
from jobs.generate_config import Box, GenerateConfig, Make
from jobs.pieces import pieces
from jobs.shots import caption
from jobs.tags import check_tags, order
from model.geometry import AudioSpec, Geometry, VideoSpec, whole_frames
from pipelines.contract import trained_most

MAX_JSON_BYTES = 1 << 20


class Given(Settings):
    """A file that the clip is made from, held to its content."""

    role: Literal["frame", "clip", "source", "mask", "sound", "image", "video", "Audio"]
    path: Path
    sha256: str
    field: str = Field(description="recipe field that named it")
    at: int = Field(0, description="first frame of the clip that it gives")
    frames: int = Field(1, description="frames that it gives")
    start: float | None = Field(0.0, description="seconds into the file; none counts from its end")


class Adapted(Settings):
    """Adapters on a checkpoint, held to their content."""

    sha256: str
    scale: float


class ClipRequest(Settings):
    """Everything that decides a clip's bytes, besides the code."""

    prompt: str
    seed: int = Field(ge=0)
    weights: str = Field(description="sha256 of the averaged weights")
    lora: tuple[Adapted, ...] = ()
    frames: int
    height: int
    width: int
    fps: float
    steps: int
    sampler: Literal["euler", "heun", "dpmpp"] = "euler"
    guidance_video: float
    guidance_audio: float
    cross_video: float = 1.0
    cross_audio: float = 1.0
    reference_video: float = 1.0
    reference_audio: float = 1.0
    rescale: float = 0.0
    interval: tuple[float, float] = (0.0, 1.0)
    shift: float
    device: str
    threads: int
    given: tuple[Given, ...] = ()
    keep: int = Field(0, description="frames that an image or a clip gives")
    box: Box | None = None
    span: tuple[float, float] | None = None
    inside: Box | None = None
    make: Make = "both"
    references: tuple[Given, ...] = Field((), description="nearest to the clip first")
    show_references: bool = False
    asked: str = Field("", description="the prompt that an enhancer wrote `prompt` from")
    enhancer: str = Field("", description="who wrote it; neither decides a byte")
    refiner: str | None = Field(None, description="sha256 of the refiner's averaged weights")
    refiner_steps: int = 0
    piece: int = Field(0, description="frames that are made at once; 0: all")
    overlap: int = Field(0, description="frames that two pieces share")

    @property
    def name(self) -> str:
        """The clip's file name without ending: named by its content."""
        # as it was before there were any
        without = {"asked", "enhancer"} | (set() if self.references else {"references"})
        pulls = {"reference_video", "reference_audio"}
        without |= {name for name in pulls if getattr(self, name) == 1}
        without |= set() if self.show_references else {"show_references"}
        without |= set() if self.lora else {"lora"}
        without |= set() if self.piece else {"piece", "overlap"}
        without |= set() if self.refiner else {"refiner", "refiner_steps"}
        return f"clip-{self.seed:04d}-{fingerprint(self.model_dump(mode='json', exclude=without))}"

    @property
    def file(self) -> str:
        """The name of the film, sound or picture."""
        return self.name + {"audio": ".wav", "image": ".png"}.get(self.make, ".mp4")

    def geometry(self, card: dict[str, Any]) -> Geometry:
        """Sizes under the autoencoders of a checkpoint."""
        video = VideoSpec(**card["video_vae"]["spec"])
        audio = AudioSpec(**card["audio_vae"]["spec"])
        return Geometry(self.frames, self.height, self.width, self.fps, video, audio)


def requests(
    config: GenerateConfig,
    prompts: list[str],
    card: dict[str, Any],
    weights: str,
    threads: int,
    refiner: tuple[str, dict[str, Any]] | None = None,
    lora: tuple[Adapted, ...] = (),
) -> list[ClipRequest]:
    """The clips that the recipe asks for, with a refiner's weights and card where there is one, and
    the adapters on the checkpoint.

    Raises RecipeError naming the field and the fix.
    """
    size = sizes(config, card)
    time = VideoSpec(**card["video_vae"]["spec"]).time
    parts = pieces(config, card, size, time)
    keep = kept_frames(config, parts.get("piece", size["frames"]), time)
    shared = {
        name: getattr(config, name)
        for name in (
            *("cross_video", "cross_audio", "reference_video", "reference_audio", "rescale"),
            *("interval", "device", "box", "span", "inside", "make", "show_references"),
        )
    } | sampling_fields(config, card)
    if refiner:
        few = steps_of(config.refiner_steps, refiner[1], REFINER_STEPS, "refiner_steps")
        shared |= {"refiner": refiner[0], "refiner_steps": few}
    shared |= parts
    given = tuple(files(config, size["frames"], size["fps"], keep))
    for prompt in prompts:
        check_tags(prompt, config.references)
        caption(prompt, size["frames"] / size["fps"])
    named = tuple(reference_files(config, size["frames"], size["fps"]))
    return [
        ClipRequest(
            prompt=prompts[number % len(prompts)],
            seed=config.seed + number,
            weights=weights,
            lora=lora,
            threads=threads,
            keep=keep,
            given=given,
            references=named,
            **size,
            **shared,
        )
        for number in range(config.count)
    ]


def files(config: GenerateConfig, frames: int, fps: float, keep: int) -> Iterator[Given]:
    """The files of a recipe and what each gives. Raises RecipeError."""
    if config.image:
        yield hold(config.image, "image", role="frame")
    if config.last_image:
        yield hold(config.last_image, "last_image", role="frame", at=frames - 1)
    for number, key in enumerate(config.keyframes):
        field, at = f"keyframes.{number}", round(key.at * fps)
        if at >= frames:
            raise RecipeError(
                f"generate.{field}.at is {key.at:g} s, the clip ends at {frames / fps:g} s"
            )
        yield hold(key.image, field, role="frame", at=at)
    if config.clip:
        back = config.extend == "backward"
        where = {"at": frames - keep, "start": 0.0} if back else {"at": 0, "start": None}
        yield hold(config.clip, "clip", role="clip", frames=keep, **where)
    if config.source:
        start = config.source_start
        yield hold(config.source, "source", role="source", frames=frames, start=start)
    if config.mask:
        yield hold(config.mask, "mask", role="mask", frames=frames, start=config.source_start)
    if config.sound:
        yield hold(config.sound, "sound", role="sound", frames=frames)
    elif config.make == "picture" and config.source:
        start = config.source_start
        yield hold(config.source, "source", role="sound", frames=frames, start=start)


def reference_files(config: GenerateConfig, frames: int, fps: float) -> Iterator[Given]:
    """The files of the prompt's tags, in order. Raises RecipeError."""
    for tag in order(config.references):
        named = config.references[tag]
        yield hold(
            named.path,
            f"references.{tag}",
            role=re.split("[_-]", tag)[0],
            frames=max(1, round(named.seconds * fps)) if named.seconds else frames,
            start=named.start,
        )


def sizes(config: GenerateConfig, card: dict[str, Any]) -> dict[str, Any]:
    """Frames, height, width and fps: as asked, else of the bucket trained most."""
    buckets = card["buckets"]
    trained = buckets[trained_most(buckets)]
    video = VideoSpec(**card["video_vae"]["spec"])
    fps = config.fps or trained["fps"]
    frames = 1 if config.make == "image" else config.frames or trained["frames"]
    if config.seconds:
        frames = whole_frames(round(config.seconds * fps), video.time)
    size = {
        "frames": frames,
        "height": config.height or trained["height"],
        "width": config.width or trained["width"],
        "fps": fps,
    }
    if (frames - 1) % video.time:
        near = whole_frames(frames, video.time)
        raise RecipeError(
            f"generate.frames is {frames}; it must be 1 + {video.time}k, e.g. {near} or "
            f"{near + video.time}"
        )
    block = video.space * card["model"]["patch"]
    for side in ("height", "width"):
        if size[side] % block:
            near = max(block, round(size[side] / block) * block)
            raise RecipeError(
                f"generate.{side} is {size[side]}; it must be a multiple of {block}, e.g. {near}"
            )
    return size


def kept_frames(config: GenerateConfig, frames: int, time: int) -> int:
    """How many frames are given: an image's one, or whole latents of a clip's end or beginning."""
    if not config.clip:
        return int(config.image is not None)
    first = config.extend == "forward"  # the first latent of a clip is one frame
    default = whole_frames(max(1, frames // 2), time) - (not first)
    default = max(default, 1 if first else time)
    keep = config.keep or default
    if (keep - first) % time or keep >= frames:
        form = f"1 + {time}k" if first else f"{time}k"
        raise RecipeError(
            f"generate.keep is {keep}; it must be {form} and less than the clip's {frames} "
            f"frames, e.g. {default}"
        )
    return keep


def hold(path: Path, field: str, **facts: Any) -> Given:  # noqa: ANN401 - fields of Given
    """A given file with its hash. Raises RecipeError when it is not there."""
    if not path.is_file():
        raise RecipeError(f"generate.{field}: there is no file {path}")
    return Given(path=path.resolve(), sha256=sha256_file(path), field=field, **facts)


def read_request(path: Path) -> tuple[ClipRequest, str]:
    """The request in a clip.json and the sha256 of the film it made. Raises RecipeError."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise RecipeError(f"{path} is too large to be a clip.json")
        value = json.loads(path.read_text())
        return ClipRequest(**value["request"]), str(value["sha256"])
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{path} is not a clip.json of this version: {error}") from error
