"""The proof that sound and picture belong together: generated clips, and real ones beside them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.alignment import Alignment, Clip, align, impacts, onsets
from curation.media import MediaReader
from curation.records import RejectedError, Status
from jobs.pictures import jpeg, strip
from jobs.report.facts import Facts, Generated
from jobs.report.media import (
    RATE,
    Budget,
    Film,
    Preview,
    Shown,
    read_film,
    show,
    sound_picture,
)

SHOWN = 12  # generated clips on the page
REAL = 32  # held-out or kept films that are measured beside them


@dataclass
class Proof:
    """Generated clips as shown, and how well their onsets lie on their impacts."""

    shown: list[tuple[Generated, Shown]] = field(default_factory=list)
    measured: int = 0
    generated: Alignment | None = None
    real: Alignment | None = None
    tolerance_ms: float = 0.0


def prove(facts: Facts, reader: MediaReader, budget: Budget) -> Proof | None:
    """Show and measure the generated clips; None without any.

    The measure knows vivid objects that turn, so it speaks of generated worlds only; films of
    other kinds are shown and not measured.
    """
    if not facts.generated:
        return None
    proof = Proof()
    events: list[Clip] = []
    fps = 0.0
    for clip in facts.generated:
        try:
            film = read_film(reader, clip.path)
        except RejectedError as error:
            proof.shown.append((clip, Shown(trouble=str(error))))
            continue
        seen, heard = measure(film)
        fps = film.fps
        events.append((seen, heard))
        if len(proof.shown) < SHOWN:
            marks = {"impact": seen, "onset": heard} if is_world(facts) else {}
            proof.shown.append((clip, show(budget, preview(film, clip.path, marks))))
    if fps and is_world(facts):
        proof.measured = len(events)
        proof.tolerance_ms = 1000 / fps
        proof.generated = try_align(events, 1 / fps)
        proof.real = try_align(real_events(facts, reader), 1 / fps)
    return proof


def preview(film: Film, path: Path, marks: dict[str, NDArray[np.float64]]) -> Preview:
    """A generated clip as it is, with what was seen and heard marked in its waveform."""
    sound = b""
    if film.samples is not None and film.samples.size:
        sound = sound_picture(film.samples[0], film.seconds, marks)
    return Preview(path.read_bytes(), jpeg(film.pixels[0]), strip(film.pixels), sound, film.seconds)


def measure(film: Film) -> Clip:
    """Impacts and onsets of one clip."""
    seen = impacts(film.pixels, film.fps)
    heard = onsets(film.samples, RATE) if film.samples is not None else seen[:0]
    return seen, heard


def is_world(facts: Facts) -> bool:
    """Whether the films are generated ones, whose truth lies beside them."""
    opened = (Path(row["path"]) for row in facts.sources if row["status"] == Status.OK)
    return any(path.with_suffix(".truth.json").is_file() for path in opened)


def real_events(facts: Facts, reader: MediaReader) -> list[Clip]:
    """The same measure on kept clips, held-out ones first: what a perfect model would reach."""
    if not facts.decision:
        return []
    columns = ["clip_id", "split", "path", "start_s", "end_s"]
    kept = facts.clips.select(columns).filter(pa.array(facts.kept)).to_pylist()
    kept.sort(key=lambda clip: (clip["split"] == "train", clip["clip_id"]))
    found = []
    for clip in kept[:REAL]:
        try:
            film = read_film(reader, Path(clip["path"]), clip["start_s"], clip["end_s"])
        except RejectedError:
            continue
        found.append(measure(film))
    return found


def try_align(events: list[Clip], tolerance_s: float) -> Alignment | None:
    """The comparison, or None where fewer than two clips have events."""
    try:
        return align(events, tolerance_s)
    except ValueError:
        return None
