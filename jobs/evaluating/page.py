"""An evaluation as one closed HTML file, as JSON, and as lines for a terminal."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curation.media import MediaReader
from curation.media_write import write_clip
from curation.records import RejectedError
from jobs.config import Recipe, code_version
from jobs.evaluating.clips import Clip
from jobs.evaluating.metrics import METRICS, Metric
from jobs.evaluating.sets import Folder, Line, Scored, pairs
from jobs.pictures import jpeg, strip
from jobs.proving.page import machine
from jobs.proving.tables import Estimate
from jobs.report.media import (
    LONGEST_S,
    RATE,
    Budget,
    Preview,
    Shown,
    read_film,
    show,
    sound_picture,
)
from jobs.report.page import filled

ROLES = {"made": "clips", "other": "second folder", "reference": "reference"}
AS_IT_IS = 1 << 20  # bytes of an mp4 that is shown uncut
SIDE, CRF, BITRATE = 180, 30, 48_000  # of a small copy


@dataclass
class Evaluation:
    """What was measured, by role (one of ROLES), and what could not be."""

    folders: dict[str, Folder]
    lines: list[Line]
    missing: dict[str, str] = field(default_factory=dict)  # duty -> which model is not here


def card(found: Evaluation, recipe: Recipe) -> dict[str, Any]:
    """As JSON, with what it depends on."""
    return {
        "recipe": recipe.name,
        "settings": recipe.evaluate.model_dump(mode="json"),
        "code": code_version(),
        "machine": machine(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "metrics": [line.card() for line in found.lines],
        "not_here": found.missing,
        "folders": {
            role: {
                "path": folder.path,
                "step": folder.step,
                "weights": folder.weights,
                "clips": [clip_card(one) for one in folder.scored],
                "rejected": [{"file": file, "why": why} for file, why in folder.rejected],
            }
            for role, folder in found.folders.items()
        },
    }


def clip_card(one: Scored) -> dict[str, Any]:
    """A clip's row."""
    clip = one.clip
    return {"file": clip.path.name, "prompt": clip.prompt, "seed": clip.seed, "scores": one.scores}


def numbers(found: Evaluation) -> dict[str, float]:
    """`evaluate/<metric>` of the clips, its interval, and the reference's own value."""
    named = {}
    for line in found.lines:
        for role, value in line.values.items():
            if value is None:
                continue
            name = f"evaluate/{line.metric.name}" + ("" if role == "made" else f"/{role}")
            named[name] = value.value
            if role == "made":
                named |= {f"{name}/low": value.low, f"{name}/high": value.high}
        if line.difference:
            named[f"evaluate/{line.metric.name}/difference"] = line.difference.value
    return named


def terminal(found: Evaluation) -> Iterator[str]:
    """One line a metric that has a value."""
    for line in found.lines:
        told = [f"{ROLES[role]} {text(value, line.metric)}" for role, value in line.values.items()]
        if line.difference:
            told.append(f"second − first {text(line.difference, line.metric)}")
        if any(line.values.values()):
            yield f"  {line.metric.title}: {', '.join(told)}"


def text(value: Estimate | None, metric: Metric) -> str:
    """A value with its interval and how many clips say it."""
    if value is None:
        return "not measured"
    ends = f"{short(value.low)}…{short(value.high)}"
    return f"{short(value.value)}{' ' * bool(metric.unit)}{metric.unit} [{ends}] of {value.clips}"


def short(number: float) -> str:
    """Four digits."""
    return f"{number:.4g}" if abs(number) < 1e4 else f"{number:.0f}"


def render(found: Evaluation, recipe: Recipe) -> str:
    """One file that loads nothing; its media are inside."""
    budget = Budget()
    with MediaReader(recipe.scan.limits) as reader:
        rows = [
            (prompt, [(role, one, media(reader, one.clip, budget)) for role, one in cells])
            for prompt, cells in shown(found.folders, recipe.evaluate.shown)
        ]
    return filled(
        "evaluate.html",
        name=recipe.name,
        machine=machine(),
        folders=found.folders,
        roles={role: ROLES[role] for role in found.folders},
        groups=grouped(found.lines),
        text=text,
        short=short,
        metrics={metric.name: metric for metric in METRICS},
        missing=found.missing,
        rows=rows,
        left_out=budget.refused,
    )


def grouped(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Lines by group, in order."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.metric.group, []).append(line)
    return found


def shown(folders: dict[str, Folder], most: int) -> list[tuple[str, list[tuple[str, Scored]]]]:
    """The first clips: a row a request, the second folder's clip of it beside the first's."""
    made, other = folders["made"].scored, folders["other"].scored if "other" in folders else []
    beside = dict(pairs([one.clip for one in made], [one.clip for one in other]))
    return [
        (
            one.clip.prompt or one.clip.path.name,
            [("made", one), *([("other", other[beside[place]])] if place in beside else [])],
        )
        for place, one in enumerate(made[:most])
    ]


def media(reader: MediaReader, clip: Clip, budget: Budget) -> Shown:
    """A clip as it is where it is a small mp4, else a small copy of its beginning."""
    try:
        return show(budget, preview(reader, clip.path))
    except (RejectedError, OSError, ValueError) as error:
        return Shown(trouble=str(error))


def preview(reader: MediaReader, path: Path) -> Preview:
    """A small mp4, its first frame, a strip and the sound's picture. Raises RejectedError."""
    whole = path.suffix.lower() == ".mp4" and path.stat().st_size <= AS_IT_IS
    film = read_film(reader, path, end=LONGEST_S, side=0 if whole else SIDE)
    heard = film.samples if film.samples is not None and film.samples.size else None
    if whole:
        video = path.read_bytes()
    else:
        with tempfile.TemporaryDirectory() as place:
            small = Path(place) / "clip.mp4"
            write_clip(small, film.pixels, film.fps, heard, RATE, CRF, BITRATE)
            video = small.read_bytes()
    sound = b"" if heard is None else sound_picture(heard[0], film.seconds)
    return Preview(video, jpeg(film.pixels[0]), strip(film.pixels), sound, film.seconds)
