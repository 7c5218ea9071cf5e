"""From the files of a request to what is known of its clip: pixels, what of them is kept, sound.

Where nothing is known, pixels repeat what is known beside them in time: a causal encoder sees them
before it sees what is kept, and a cut to black would leave its mark there (choice).

Letters: F frames, H W pixels, S samples.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.files import sha256_file
from curation.media import MediaReader
from curation.records import RejectedError
from curation.rendition import sound
from jobs.clip_request import ClipRequest, Given
from jobs.config import RecipeError
from jobs.generate_config import Box
from model.geometry import Geometry

MAX_IMAGE_BYTES = 64 << 20
IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # PNG and JPEG
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Known:
    """What is given of a clip. `keep` decides latents, `paste` what is put back unchanged."""

    pixels: Pixels  # [F,H,W,3]
    keep: Mask  # [F,H,W]
    paste: Mask  # [F,H,W]
    samples: NDArray[np.float32] | None  # [channels,S] at the codec's rate
    heard: tuple[float, float] | None  # seconds of the clip in which samples are given


def known(request: ClipRequest, geometry: Geometry, channels: int) -> Known | None:
    """What the files of a request give; None without any. Raises RecipeError naming the field."""
    if not request.given:
        return None
    shape = (request.frames, request.height, request.width)
    pixels = np.zeros((*shape, 3), np.uint8)
    keep, paste = np.zeros(shape, bool), np.zeros(shape, bool)
    samples, heard = None, None
    with MediaReader() as reader:
        for given in request.given:
            check(given)
            if given.role == "frame":
                image = read_image(given, request.height, request.width)
                block = latent_frames(given.at, geometry)
                pixels[block], keep[block], paste[given.at] = image, True, True
            elif given.role == "clip":
                there = slice(given.at, given.at + given.frames)
                start = begin(reader, given, request.fps)
                pixels[there] = film(reader, given, request, start)
                keep[there] = paste[there] = True
                span = (given.at / request.fps, (given.at + given.frames) / request.fps)
                samples = track(reader, given, geometry, start - span[0], channels)
                heard = None if samples is None else span
            elif given.role == "source":
                start = begin(reader, given, request.fps)
                pixels, keep = placed(film(reader, given, request, start), request.inside)
                keep &= ~remade(request, reader)
                paste = keep.copy()
            elif given.role == "sound":
                start = begin(reader, given, request.fps)
                samples = track(reader, given, geometry, start, channels)
                if samples is None:
                    raise RecipeError(f"generate.{given.field}: {given.path} has no sound")
                heard = (0.0, geometry.seconds)
    return Known(filled(pixels, keep), keep, paste, samples, heard)


def check(given: Given) -> None:
    """Raises RecipeError when a file is not what it was."""
    if not given.path.is_file() or sha256_file(given.path) != given.sha256:
        raise RecipeError(f"{given.field}: {given.path} is gone or is not the file it was")


def latent_frames(at: int, geometry: Geometry) -> slice:
    """The frames that share a latent with frame `at`: a picture holds for all of them."""
    time = geometry.video.time
    if at == 0:
        return slice(0, 1)
    first = 1 + (at - 1) // time * time
    return slice(first, first + time)


def begin(reader: MediaReader, given: Given, fps: float) -> float:
    """Second of a film at which it is read. Raises RecipeError where it is too short."""
    span = given.frames / fps
    try:
        length = reader.probe(given.path).seconds
    except RejectedError as error:
        raise RecipeError(f"generate.{given.field}: {given.path}: {error}") from error
    start = length - span if given.start is None else given.start
    if start < 0 or start + span > length + 0.5 / fps:
        field = "keep" if given.role == "clip" else "frames"
        raise RecipeError(
            f"generate.{given.field}: {given.path} has {length:.2f} s, {start + span:.2f} s are "
            f"needed; lower generate.{field}"
        )
    return start


def film(reader: MediaReader, given: Given, request: ClipRequest, start: float) -> Pixels:
    """Frames of a film at the request's size and rate. Raises RecipeError."""
    times = start + np.arange(given.frames) / request.fps
    size = (request.height, request.width)
    try:
        if reader.probe(given.path).video is None:
            raise RecipeError(f"generate.{given.field}: {given.path} has no picture")
        return reader.frames(given.path, size=size, times=times).pixels
    except RejectedError as error:
        raise RecipeError(f"generate.{given.field}: {given.path}: {error}") from error


def track(
    reader: MediaReader, given: Given, geometry: Geometry, start: float, channels: int
) -> NDArray[np.float32] | None:
    """Sound [channels,S] of the clip's length from `start` on; None where a film has none."""
    rate = geometry.audio.sample_rate
    first = max(0, -round(start * rate))  # a film that begins within the clip
    try:
        probe = reader.probe(given.path)
        if probe.audio is None:
            return None
        left = round(min(probe.seconds - max(0.0, start), geometry.seconds) * rate)
        wanted = min(geometry.samples - first, left)
        found = sound(reader, str(given.path), max(0.0, start), wanted, rate, channels)
    except RejectedError as error:
        raise RecipeError(f"generate.{given.field}: {given.path}: {error}") from error
    samples = np.zeros((channels, geometry.samples), np.float32)
    samples[:, first : first + wanted] = found
    return samples


def placed(pixels: Pixels, inside: Box | None) -> tuple[Pixels, Mask]:
    """A film on the picture: all of it, or scaled into a box with its edges drawn out."""
    shape = pixels.shape[:3]
    if inside is None:
        return pixels, np.ones(shape, bool)
    import cv2  # noqa: PLC0415 - as below

    rows, columns = bounds(inside, shape[1], shape[2])
    size = (columns.stop - columns.start, rows.stop - rows.start)
    edges = (rows.start, shape[1] - rows.stop, columns.start, shape[2] - columns.stop)
    small = (cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in pixels)
    out = np.stack([cv2.copyMakeBorder(f, *edges, cv2.BORDER_REPLICATE) for f in small])
    keep = np.zeros(shape, bool)
    keep[:, rows, columns] = True
    return out.astype(np.uint8), keep


def bounds(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a box, at least one each."""
    left, right = round(box[0] * width), round(box[2] * width)
    top, bottom = round(box[1] * height), round(box[3] * height)
    return slice(top, max(top + 1, bottom)), slice(left, max(left + 1, right))


def remade(request: ClipRequest, reader: MediaReader) -> Mask:
    """What of the source is made anew [F,H,W]: mask or box within span; outside of `inside`."""
    shape = (request.frames, request.height, request.width)
    masks = [given for given in request.given if given.role == "mask"]
    if request.inside or request.make == "sound":
        return np.zeros(shape, bool)
    where = np.ones(shape, bool)
    if masks:
        where = read_mask(masks[0], request, reader)
    elif request.box:
        rows, columns = bounds(request.box, request.height, request.width)
        where = np.zeros(shape, bool)
        where[:, rows, columns] = True
    if request.span:
        times = np.arange(request.frames) / request.fps
        where[(times < request.span[0]) | (times >= request.span[1])] = False
    if not where.any():
        raise RecipeError("generate.mask, box and span leave nothing to be made anew")
    return where


def read_mask(given: Given, request: ClipRequest, reader: MediaReader) -> Mask:
    """White parts of a picture, at rest, or of a film [F,H,W]; half-white pixels count."""
    with given.path.open("rb") as handle:
        still = handle.read(8).startswith(IMAGES)
    if still:
        image = read_image(given, request.height, request.width)
        return np.repeat((image.max(axis=-1) > 63)[None], request.frames, axis=0)
    start = begin(reader, given, request.fps)
    return np.asarray(film(reader, given, request, start).max(axis=-1) > 127)


def filled(pixels: Pixels, keep: Mask) -> Pixels:
    """Frames of which nothing is known repeat the nearest one of which something is."""
    there = np.flatnonzero(keep.any(axis=(1, 2)))
    if not there.size:
        return pixels
    nearest = there[np.abs(there[None] - np.arange(len(pixels))[:, None]).argmin(axis=1)]
    return pixels[nearest]


def read_image(given: Given, height: int, width: int) -> Pixels:
    """A PNG or JPEG [H,W,3], scaled to cover and cut at the centre. Raises RecipeError."""
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))  # a small file can be huge
    import cv2  # noqa: PLC0415 - it reads that when it is loaded

    pixels = decoded(given.path, given.field)
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    rows, columns = (
        max(n, round(s * scale)) for n, s in zip((height, width), pixels.shape, strict=False)
    )
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(pixels, (columns, rows), interpolation=how)
    top, left = (rows - height) // 2, (columns - width) // 2
    return np.asarray(scaled[top : top + height, left : left + width], dtype=np.uint8)


def decoded(path: Path, field: str) -> Pixels:
    """A picture file's pixels. Raises RecipeError."""
    import cv2  # noqa: PLC0415 - as above

    with path.open("rb") as handle:
        data = handle.read(MAX_IMAGE_BYTES + 1)
    if len(data) > MAX_IMAGE_BYTES or not data.startswith(IMAGES):
        raise RecipeError(f"generate.{field}: {path} is not a PNG or JPEG of at most 64 MiB")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise RecipeError(f"generate.{field}: {path} cannot be decoded: {error.err}") from error
    if pixels is None:
        raise RecipeError(f"generate.{field}: {path} cannot be decoded")
    return np.asarray(pixels, dtype=np.uint8)
