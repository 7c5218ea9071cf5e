"""Make the proof's clips and keep what can only be measured while they are made.

What was given is put back into a finished clip, so how well the network itself kept it is measured
before that and stands beside the clip, in `<clip>.kept.json`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.files import write_json
from curation.media import MediaReader
from curation.progress import progress
from curation.world.config import WorldConfig
from jobs.beside import write_beside
from jobs.clip_request import ClipRequest
from jobs.clips import Decoders, decode, encode_frames
from jobs.clips import Film as MadeFilm
from jobs.config import Recipe
from jobs.generate import describe, requests_of
from jobs.generate_config import GenerateConfig
from jobs.given import Known
from jobs.maker import Maker, finished
from jobs.proving import kept
from jobs.proving.cases import Case
from jobs.proving.measures import Reading, read
from jobs.proving.others import twins
from jobs.proving.truth import Truth
from jobs.report.media import RATE, Film, read_film
from model.geometry import Geometry


@dataclass(frozen=True)
class Clip:
    """A made clip. `kept` holds numbers of what was given, empty where nothing was."""

    case: Case
    path: Path
    kept: dict[str, float]


def make(maker: Maker, recipe: Recipe, asked: Sequence[Case], folder: Path) -> list[Clip]:
    """The clips of the cases, in order; those that are there already stay."""
    found = []
    with progress("prove", len(asked), "clips") as advance:
        for case in asked:
            config = asked_for(recipe.generate, case, recipe.prove.seed)
            (request,) = requests_of(config, recipe, maker)
            path = folder / request.file
            facts = path.with_suffix(".kept.json")
            if not path.with_suffix(".json").is_file():
                film, numbers = (
                    made_long(maker, request, path) if request.piece else made(maker, request, path)
                )
                write_beside(film, path)
                write_json(facts, numbers)
                write_json(path.with_suffix(".json"), describe(maker, request, path))
            found.append(Clip(case, path, json.loads(facts.read_text())))
            advance(1, path.name)
    return found


def made(maker: Maker, request: ClipRequest, path: Path) -> tuple[MadeFilm, dict[str, float]]:
    """A clip of one piece, and how well the network kept what it was given."""
    raw, known = maker.draw(request)
    film = finished(raw, known, request)
    film.write(path)
    return film, measure_kept(raw.pixels, known, raw.geometry, maker.decoders)


def made_long(maker: Maker, request: ClipRequest, path: Path) -> tuple[MadeFilm, dict[str, float]]:
    """A film of several pieces, and how far the last is from the first."""
    film = maker.make(request, path)
    with MediaReader() as reader:
        shown = read_film(reader, path).pixels
    return film, {"drift": kept.drift(shown, request.piece)}


def asked_for(base: GenerateConfig, case: Case, seed: int) -> GenerateConfig:
    """The request of a case: the recipe's sampler, its own prompt, seed and files."""
    values = base.model_dump(exclude_unset=True) | {"count": 1, "prompt": case.prompt}
    return GenerateConfig(**values | {"seed": seed + case.number} | case.fields)


def measure_kept(
    pixels: NDArray[np.uint8], known: Known | None, geometry: Geometry, decoders: Decoders
) -> dict[str, Any]:
    """PSNR of what was given and the seam to what was made, and what the autoencoder leaves."""
    if known is None or not known.keep.any():
        return {}
    latent = encode_frames(decoders.video, known.pixels)
    coded = decode(decoders, latent, None, geometry).pixels
    numbers = {
        "kept": kept.psnr(pixels, known.pixels, known.paste),
        "kept_reencoded": kept.psnr(coded, known.pixels, known.paste),
        "seam": kept.seam(pixels, known.paste),
    }
    return {name: value for name, value in numbers.items() if value is not None}


def readings(clips: Sequence[Clip]) -> list[Reading]:
    """What the detectors find in the clips' files."""
    with MediaReader() as reader:
        return [reading(read_film(reader, clip.path), clip.case.last) for clip in clips]


def reading(film: Film, last: int | None = None) -> Reading:
    """What they find in a decoded film, or in its last frames."""
    if last is None:
        return read(film.pixels, film.fps, film.samples, RATE)
    heard = None if film.samples is None else film.samples[:, -round(last / film.fps * RATE) :]
    return read(film.pixels[-last:], film.fps, heard, RATE)


def same_words(world: WorldConfig, asked: Sequence[Case]) -> list[tuple[Truth, Reading]]:
    """Truths of the cases with readings of other films that the same words were said of."""
    found = twins(world, [case.prompt for case in asked])
    return [
        (asked[place].truth, read(film.pixels, film.fps, film.samples, film.rate))
        for place, film in found
    ]


def reencoded(asked: Sequence[Case], decoders: Decoders, geometry: Geometry) -> list[Reading]:
    """The readings of the films themselves once the autoencoders had them: a perfect network's."""
    import torch  # noqa: PLC0415 - not to measure, only here

    found = []
    for case in asked:
        film = case.film
        sound = torch.from_numpy(film.samples).expand(decoders.audio.sounds, -1)
        with torch.no_grad():
            heard = decoders.audio.encode(sound[None])[0]
        shown = decode(decoders, encode_frames(decoders.video, film.pixels), heard, geometry)
        found.append(read(shown.pixels, film.fps, shown.samples, shown.rate))
    return found
