"""One clip to make, as plain values: what stands in `clip.json` and makes the same bytes again."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from curation.files import fingerprint, sha256_file
from curation.media import MediaReader
from curation.records import RejectedError
from curation.settings import Settings
from jobs.config import RecipeError
from jobs.generate_config import GenerateConfig
from model.geometry import AudioSpec, Geometry, VideoSpec, whole_frames

MAX_JSON_BYTES = 1 << 20
MAX_IMAGE_BYTES = 64 << 20
IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # PNG and JPEG


class Given(Settings):
    """A file that the clip begins with, held to its content."""

    path: Path
    sha256: str


class ClipRequest(Settings):
    """Everything that decides a clip's bytes, besides the code."""

    prompt: str
    seed: int = Field(ge=0)
    weights: str = Field(description="sha256 of the averaged weights")
    frames: int
    height: int
    width: int
    fps: float
    steps: int
    guidance_video: float
    guidance_audio: float
    shift: float
    device: str
    threads: int
    image: Given | None = None
    clip: Given | None = None
    keep: int = Field(0, description="frames that are given")

    @property
    def name(self) -> str:
        """The clip's file name without ending: named by its content."""
        return f"clip-{self.seed:04d}-{fingerprint(self.model_dump(mode='json'))}"

    def geometry(self, card: dict[str, Any]) -> Geometry:
        """Sizes under the autoencoders of a checkpoint."""
        video = VideoSpec(**card["video_vae"]["spec"])
        audio = AudioSpec(**card["audio_vae"]["spec"])
        return Geometry(self.frames, self.height, self.width, self.fps, video, audio)


def requests(
    config: GenerateConfig, prompts: list[str], card: dict[str, Any], weights: str, threads: int
) -> list[ClipRequest]:
    """The clips that the recipe asks for. Raises RecipeError naming the field and the fix."""
    size = sizes(config, card)
    given = {
        "image": hold(config.image, "image"),
        "clip": hold(config.clip, "clip"),
        "keep": kept_frames(config, size["frames"], card),
    }
    return [
        ClipRequest(
            prompt=prompts[number % len(prompts)],
            seed=config.seed + number,
            weights=weights,
            steps=config.steps,
            guidance_video=config.guidance_video,
            guidance_audio=config.guidance_audio,
            shift=config.shift,
            device=config.device,
            threads=threads,
            **size,
            **given,
        )
        for number in range(config.count)
    ]


def sizes(config: GenerateConfig, card: dict[str, Any]) -> dict[str, Any]:
    """Frames, height, width and fps: as asked, else of the bucket trained most."""
    buckets = card["buckets"]
    trained = buckets[max(sorted(buckets), key=lambda name: buckets[name]["train"])]
    video = VideoSpec(**card["video_vae"]["spec"])
    fps = config.fps or trained["fps"]
    frames = config.frames or trained["frames"]
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


def kept_frames(config: GenerateConfig, frames: int, card: dict[str, Any]) -> int:
    """How many frames are given: none, an image's one, or the end of a clip."""
    if config.image:
        return 1
    if not config.clip:
        return 0
    time = VideoSpec(**card["video_vae"]["spec"]).time
    keep = config.keep or whole_frames(max(1, frames // 2), time)
    if (keep - 1) % time or keep >= frames:
        raise RecipeError(
            f"generate.keep is {keep}; it must be 1 + {time}k and less than the clip's {frames} "
            f"frames, e.g. {whole_frames(max(1, frames // 2), time)}"
        )
    return keep


def hold(path: Path | None, field: str) -> Given | None:
    """A given file with its hash. Raises RecipeError when it is not there."""
    if path is None:
        return None
    if not path.is_file():
        raise RecipeError(f"generate.{field}: there is no file {path}")
    return Given(path=path.resolve(), sha256=sha256_file(path))


def first_frames(request: ClipRequest) -> NDArray[np.uint8] | None:
    """Given pixels [keep,H,W,3]; None without any. Raises RecipeError for another or bad file."""
    for field, given in (("image", request.image), ("clip", request.clip)):
        if given is None:
            continue
        if not given.path.is_file() or sha256_file(given.path) != given.sha256:
            raise RecipeError(f"{field}: {given.path} is gone or is not the file it was")
        if field == "image":
            return read_image(given.path, request.height, request.width)[None]
        return read_end(given.path, request)
    return None


def read_end(path: Path, request: ClipRequest) -> NDArray[np.uint8]:
    """The last `keep` frames of a film at the request's size and rate."""
    try:
        with MediaReader() as reader:
            video = reader.probe(path).video
            length = reader.probe(path).seconds
            span = request.keep / request.fps
            if video is None or length < span:
                raise RecipeError(
                    f"generate.clip: {path} has {length:.2f} s of picture, "
                    f"keep={request.keep} needs {span:.2f} s; lower generate.keep"
                )
            times = length - span + np.arange(request.keep) / request.fps
            size = (request.height, request.width)
            return reader.frames(path, size=size, times=times).pixels
    except RejectedError as error:
        raise RecipeError(f"generate.clip: {path}: {error}") from error


def read_image(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """A PNG or JPEG [H,W,3], scaled to cover and cut at the centre. Raises RecipeError."""
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))  # a small file can be huge
    import cv2  # noqa: PLC0415 - 1 s, and most clips have no image

    with path.open("rb") as handle:
        data = handle.read(MAX_IMAGE_BYTES + 1)
    if len(data) > MAX_IMAGE_BYTES or not data.startswith(IMAGES):
        raise RecipeError(f"generate.image: {path} is not a PNG or JPEG of at most 64 MiB")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise RecipeError(f"generate.image: {path} cannot be decoded: {error.err}") from error
    if pixels is None:
        raise RecipeError(f"generate.image: {path} cannot be decoded")
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    rows, columns = (
        max(n, round(s * scale)) for n, s in zip((height, width), pixels.shape, strict=False)
    )
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(pixels, (columns, rows), interpolation=how)
    top, left = (rows - height) // 2, (columns - width) // 2
    return np.asarray(scaled[top : top + height, left : left + width], dtype=np.uint8)


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
