"""A prompt as the text encoder gets it: words alone, or with the references that it speaks of."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from curation.media import MediaReader
from curation.records import RejectedError
from jobs.clip_request import ClipRequest, Given
from jobs.config import RecipeError
from jobs.given import check, decoded
from jobs.reference_files import length
from jobs.shots import caption
from jobs.tags import order, without_tags
from model.geometry import Geometry
from model.text import TextCodec
from model.text_mllm import SOUND_RATE, STILLS, MultimodalEncoder, Shown

SHORT_SIDE = 448  # of a film's stills; a picture's size is the encoder's own affair


def encoded_prompt(encoder: TextCodec, request: ClipRequest, geometry: Geometry) -> Tensor:
    """Features [N,D] of a request's prompt. Raises RecipeError.

    Tags stay in it only where the encoder is shown what they name.
    """
    if not request.show_references:
        return encoder.encode([caption(without_tags(request.prompt), geometry.seconds)])[0]
    if not isinstance(encoder, MultimodalEncoder):
        raise RecipeError(
            "generate.show_references: this checkpoint's text encoder reads words alone; leave it "
            "out, or encode and train with a multimodal encode.text_encoder"
        )
    with MediaReader() as reader:
        shown = tuple(seen_and_heard(reader, request, geometry, encoder))
    try:
        return encoder.encode([caption(request.prompt, geometry.seconds)], shown)[0]
    except ValueError as error:
        raise RecipeError(f"generate.show_references: {error}") from error


def seen_and_heard(
    reader: MediaReader, request: ClipRequest, geometry: Geometry, encoder: MultimodalEncoder
) -> Iterator[Shown]:
    """What a request's references show, under the names of their tags. Raises RecipeError.

    A film's own sound is left out where the encoder has no ears; a voice is not: it is refused.
    """
    tags = order(given.field.removeprefix("references.") for given in request.references)
    for tag, given in zip(tags, request.references, strict=True):
        check(given)
        if given.role == "image":
            yield Shown(tag, decoded(given.path, given.field)[None])
            continue
        try:
            yield moving(reader, tag, given, geometry, encoder)
        except RejectedError as error:
            raise RecipeError(f"generate.{given.field}: {given.path}: {error}") from error


def moving(
    reader: MediaReader, tag: str, given: Given, geometry: Geometry, encoder: MultimodalEncoder
) -> Shown:
    """Stills and sound of a film, or a sound. Raises RejectedError, RecipeError."""
    start = given.start or 0.0
    seconds = length(reader, given, geometry, start) / geometry.fps
    frames = None
    if given.role == "video":
        times = start + (np.arange(STILLS) + 0.5) * seconds / STILLS
        frames = reader.frames(given.path, short_side=SHORT_SIDE, times=times).pixels
    heard = None
    if given.role == "Audio" or (encoder.hears and reader.probe(given.path).audio):
        end = start + seconds
        heard = reader.sound(given.path, SOUND_RATE, start, end, mono=True).samples[0]
    return Shown(tag, frames, heard)
