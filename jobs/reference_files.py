"""From the files that a prompt's tags name to references: latents before the clip.

A picture is fitted into the clip's size with black around it, never cut: a subject keeps its head.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from curation.media import MediaReader
from curation.records import RejectedError
from jobs.clip_request import ClipRequest, Given
from jobs.clips import Decoders, encode_frames
from jobs.config import RecipeError
from jobs.given import Pixels, check, decoded, track
from jobs.paste import encode_sound
from model.geometry import Geometry, whole_frames
from model.references import Reference


def references(
    request: ClipRequest, geometry: Geometry, decoders: Decoders
) -> tuple[Reference, ...]:
    """The references of a request, in the order of its tags. Raises RecipeError naming one."""
    if not request.references:
        return ()
    with MediaReader() as reader:
        return tuple(encoded(reader, request, geometry, decoders))


def encoded(
    reader: MediaReader, request: ClipRequest, geometry: Geometry, decoders: Decoders
) -> Iterator[Reference]:
    """One reference after the other."""
    for given in request.references:
        check(given)
        if given.role == "image":
            one = replace(geometry, frames=1)
            picture = fitted(decoded(given.path, given.field), geometry.height, geometry.width)
            yield Reference(one, encode_frames(decoders.video, picture[None]))
            continue
        start = given.start or 0.0
        frames = length(reader, given, geometry, start)
        span = replace(geometry, frames=frames)
        shown = None
        if given.role == "video":
            shown = encode_frames(decoders.video, film(reader, given, span, start))
        heard = track(reader, given, span, start, decoders.audio.sounds)
        if heard is None and shown is None:
            raise RecipeError(f"generate.{given.field}: {given.path} has no sound")
        yield Reference(span, shown, None if heard is None else encode_sound(decoders, heard))


def length(reader: MediaReader, given: Given, geometry: Geometry, start: float) -> int:
    """Frames of a reference: as asked, or as many as the file has. Raises RecipeError."""
    try:
        left = reader.probe(given.path).seconds - start
    except RejectedError as error:
        raise RecipeError(f"generate.{given.field}: {given.path}: {error}") from error
    there = int(left * geometry.fps + 0.5)
    if there < 1:
        raise RecipeError(
            f"generate.{given.field}.start is {start:g} s, {given.path} ends at "
            f"{start + left:.2f} s"
        )
    return whole_frames(min(given.frames, there), geometry.video.time)


def film(reader: MediaReader, given: Given, span: Geometry, start: float) -> Pixels:
    """Frames [F,H,W,3] of a film, fitted with black around them. Raises RecipeError."""
    times = start + np.arange(span.frames) / span.fps
    try:
        video = reader.probe(given.path).video
        if video is None:
            raise RecipeError(f"generate.{given.field}: {given.path} has no picture")
        inner = inside(video.height, video.width, span.height, span.width)
        return framed(reader.frames(given.path, size=inner, times=times).pixels, span)
    except RejectedError as error:
        raise RecipeError(f"generate.{given.field}: {given.path}: {error}") from error


def fitted(pixels: Pixels, height: int, width: int) -> Pixels:
    """A picture [H,W,3] scaled into a size, black around it."""
    import cv2  # noqa: PLC0415 - only requests with pictures need it

    rows, columns = inside(pixels.shape[0], pixels.shape[1], height, width)
    how = cv2.INTER_AREA if rows < pixels.shape[0] else cv2.INTER_CUBIC
    small = cv2.resize(pixels, (columns, rows), interpolation=how)
    return bordered(small[None], height, width)[0]


def framed(pixels: Pixels, span: Geometry) -> Pixels:
    """Frames [F,h,w,3] in the middle of the clip's size."""
    return bordered(pixels, span.height, span.width)


def bordered(pixels: Pixels, height: int, width: int) -> Pixels:
    """Frames [F,h,w,3] with black on both sides: [F,H,W,3]."""
    room = [n - m for n, m in zip((height, width), pixels.shape[1:3], strict=True)]
    sides = [(n // 2, n - n // 2) for n in room]
    return np.pad(pixels, ((0, 0), *sides, (0, 0)))


def inside(rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """The largest size of a picture's shape within a size."""
    scale = min(height / rows, width / columns)
    return max(1, min(height, round(rows * scale))), max(1, min(width, round(columns * scale)))
