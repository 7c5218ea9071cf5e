"""The proof as one closed HTML file, as JSON, and as lines for a terminal."""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from curation.media import MediaReader
from jobs.config import Recipe, code_version
from jobs.proving.budget import Plan
from jobs.proving.made import Clip
from jobs.proving.measures import Reading
from jobs.proving.tables import Estimate, Row
from jobs.report.media import Budget, Shown, read_film, show
from jobs.report.page import filled
from jobs.report.proof import preview

CLIPS = 3  # shown a capability, a row of cards; the first ones: none is chosen
BOUNDS = {
    "untrained": "untrained",
    "chance": "chance",
    "shifted": "moved sound",
    "words": "same words",
    "reencoded": "truth re-encoded",
}


@dataclass
class Proof:
    """All rows, and the first clips of each capability with what was read from them."""

    rows: list[Row] = field(default_factory=list)
    clips: dict[str, list[tuple[Clip, Reading]]] = field(default_factory=dict)

    def add(
        self, name: str, rows: list[Row], clips: Sequence[Clip], readings: Sequence[Reading]
    ) -> None:
        """A capability."""
        self.rows += rows
        self.clips[name] = list(zip(clips, readings, strict=True))[:CLIPS]


def card(proof: Proof, recipe: Recipe, plan: Plan, seconds: float) -> dict[str, Any]:
    """The proof as JSON, with what it depends on."""
    return {
        "recipe": recipe.name,
        "minutes": recipe.prove.minutes,
        "seconds": round(seconds, 1),
        "seeds": {"train": recipe.seed, "world": recipe.world.seed, "test": recipe.prove.seed},
        "plan": asdict(plan),
        "machine": machine(),
        "code": code_version(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": [row.card() for row in proof.rows],
    }


def machine() -> str:
    """Processor and cores, as the platform names them."""
    import os  # noqa: PLC0415 - only here

    return f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """One line a row, for a terminal."""
    for row in rows:
        bounds = ", ".join(
            f"{BOUNDS[name]} {value(bound, row.unit)}" for name, bound in row.bounds.items()
        )
        told = {True: "reached", False: "missed", None: ""}[row.reached]
        goal = f"; target {number(row.target, row.unit)} {told}" if row.target is not None else ""
        yield f"  {row.capability}: {row.measure} {value(row.made, row.unit)} ({bounds}){goal}"


def value(found: Estimate | None, unit: str) -> str:
    """A value with its interval."""
    if found is None:
        return "not measured"
    ends = f"{number(found.low, '')}…{number(found.high, '')}" if unit != "share" else ""
    ends = ends or f"{100 * found.low:.0f}…{100 * found.high:.0f}"
    return f"{number(found.value, unit)} [{ends}]"


def number(amount: float | None, unit: str) -> str:
    """A number with its unit; shares in percent."""
    if amount is None:
        return ""
    return f"{100 * amount:.0f} %" if unit == "share" else f"{amount:.1f} {unit}".strip()


def render(proof: Proof, recipe: Recipe, plan: Plan, seconds: float) -> str:
    """One file that loads nothing; its media are inside."""
    budget = Budget()
    return filled(
        "proof.html",
        name=recipe.name,
        machine=machine(),
        plan=plan,
        seeds=(recipe.world.seed, recipe.prove.seed),
        held_out=[told(one.model_dump(exclude_none=True)) for one in recipe.prove.held_out],
        seconds=seconds,
        groups=grouped(proof.rows),
        bounds=BOUNDS,
        value=value,
        number=number,
        clips={name: shown(found, budget) for name, found in proof.clips.items()},
        left_out=budget.refused,
    )


def told(kind: dict[str, str]) -> str:
    """A held-out kind in words: 'red square', 'blue ball thrown'."""
    motion = {"throw": "thrown", "fall": "falling", "appear": "appearing", "collide": "colliding"}
    words = [kind.get("colour"), kind.get("shape"), motion.get(kind.get("motion", ""))]
    return " ".join(word for word in words if word)


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by capability, in order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.capability, []).append(row)
    return found


def shown(clips: Sequence[tuple[Clip, Reading]], budget: Budget) -> list[tuple[str, str, Shown]]:
    """Prompt, what the detectors read, and the clip with its impacts and onsets marked."""
    found = []
    with MediaReader() as reader:
        for clip, reading in clips:
            marks = {"impact": reading.impacts, "onset": reading.onsets}
            film = read_film(reader, clip.path)
            media = show(budget, preview(film, clip.path, marks))
            found.append((clip.case.prompt, words(reading), media))
    return found


def words(reading: Reading) -> str:
    """What was read from a clip, in a line."""
    seen = [f"{colour} {shape} going {way}" for colour, shape, way in reading.kinds()]
    tones = sorted({sound.timbre for sound in reading.sounds})
    heard = f"{len(reading.sounds)} sounds" + (f" of {', '.join(tones)}" if tones else "")
    return f"{', '.join(seen) or 'no object'}; {len(reading.impacts)} impacts, {heard}"
