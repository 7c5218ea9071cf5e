"""What is in the kept set: lengths, sizes, words, languages, things seen, captions."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup
from numpy.typing import NDArray

from curation.records import clean
from jobs.report.charts import shares
from jobs.report.facts import Facts
from jobs.report.histograms import draw, make_axis
from pipelines.verdicts import numbers

TOP = 10  # names in a list
# Facts and scores that say what a data set is like, whatever its policy asks.
SHAPES = (
    ("seconds", "length of a clip", "s"),
    ("height", "height of the film", "pixels"),
    ("fps", "frames a second of the film", "1/s"),
    ("motion", "motion", "heights/s"),
    ("loudness_lufs", "loudness", "LUFS"),
    ("words_per_second", "words a second of voice", "1/s"),
)


@dataclass(frozen=True)
class Shape:
    """A chart of the kept clips."""

    title: str
    unit: str
    svg: Markup


def shapes(facts: Facts) -> list[Shape]:
    """How lengths and sizes of the kept clips lie."""
    found = [shape(facts, numbers(facts.clips, n), title, unit) for n, title, unit in SHAPES]
    found.append(shape(facts, caption_words(facts), "words of the long caption", "count"))
    return [one for one in found if one]


def shape(facts: Facts, values: NDArray[np.float64], title: str, unit: str) -> Shape | None:
    """One chart; None where there is nothing to draw."""
    mine = values[facts.kept]
    there = mine[np.isfinite(mine)]
    if not there.size:
        return None
    return Shape(title, unit, draw(mine, np.ones(len(mine), dtype=bool), [], make_axis(there, [])))


def caption_words(facts: Facts) -> NDArray[np.float64]:
    """Words of each clip's long caption [clips], NaN without one."""
    words = np.full(facts.clips.num_rows, np.nan)
    if not facts.captions.num_rows:
        return words
    known = facts.captions.filter(pc.is_valid(facts.captions["long"]))
    place = pc.index_in(joined(known["clip_id"]), value_set=joined(facts.clips["clip_id"]))
    counts = [len(text.split()) for text in known["long"].to_pylist()]
    for row, count in zip(place.to_pylist(), counts, strict=True):
        if row is not None:
            words[row] = count
    return words


def joined(column: Any) -> Any:  # noqa: ANN401 - Arrow arrays
    """A chunked column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def lists(facts: Facts) -> list[tuple[str, Markup]]:
    """Names that most kept hours have: (title, bars of their shares)."""
    if not facts.kept.any():
        return []
    told = {r["clip_id"]: r["provenance"] for r in facts.captions.to_pylist()}
    columns: dict[str, list[str | None]] = {
        "captions by who wrote them": [told.get(i) for i in facts.clips["clip_id"].to_pylist()],
        "split": facts.clips["split"].to_pylist(),
    }
    for title, name in (("language spoken", "language"), ("first thing seen", "tags")):
        if name in facts.clips.column_names:
            columns[title] = facts.clips[name].to_pylist()
    found = [(title, ranking(facts, values)) for title, values in columns.items()]
    return [(title, bars) for title, bars in found if bars]


def ranking(facts: Facts, values: list[str | None]) -> Markup:
    """The TOP names by kept hours; empty where no clip has a name."""
    hours: dict[str, float] = defaultdict(float)
    count: Counter[str] = Counter()
    for place in np.flatnonzero(facts.kept):
        value = values[place]
        name = first_name(value) if value else "–"
        hours[name] += float(facts.seconds[place]) / 3600
        count[name] += 1
    if set(hours) <= {"–"}:
        return Markup("")
    whole = sum(hours.values()) or 1.0
    top = sorted(hours, key=lambda name: (-hours[name], name))[:TOP]
    rows = [(f"{name} ({count[name]})", hours[name] / whole, "kept") for name in top]
    return shares(rows, width=330)


def first_name(text: str) -> str:
    """The first of names that are parted by commas, without its probability."""
    words = clean(text, 80).split(",")[0].split()
    if len(words) > 1 and words[-1].replace(".", "", 1).isdigit():
        words = words[:-1]
    return " ".join(words)[:22] or "–"
