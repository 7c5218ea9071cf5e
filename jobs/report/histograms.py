"""How a score lies over all clips, kept and dropped, with the policy's thresholds drawn in."""

from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from curation.scores import Score
from jobs.report.charts import line, number, rect, svg, text
from jobs.report.facts import NUMERIC, Facts
from pipelines.policy import ALL_SCORES, Check, Policy
from pipelines.verdicts import numbers

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
WIDTH, HEIGHT, TOP, BASE = 320, 128, 16, 108  # pixels; bars stand between TOP and BASE
NULLS = 34  # pixels at the right for clips without the score
BINS = 32
FEW = 8  # so many different whole numbers get a bar each
TAIL = (0.5, 99.5)  # percentiles; what lies beyond is counted in the outermost bars
DECADES = 1.7  # orders of magnitude between the 5th and 95th percentile that make an axis of logs
ASIDE = 0.04  # of the axis that lies beyond a threshold at its end
LEAST = 1.5  # pixels of a bar with anything in it
FACT = {
    "seconds": Score("s", "length of the clip"),
    "fps": Score("1/s", "frames a second of the film"),
    "width": Score("pixels", "of the film"),
    "height": Score("pixels", "of the film"),
    "shown_width": Score("pixels", "width without bars"),
    "shown_height": Score("pixels", "height without bars"),
    "drift_ms": Score(
        "ms", "how much of a clip has no sound under it: + at its start, − at its end"
    ),
}


@dataclass(frozen=True)
class Limit:
    """A threshold; `under` says that values below it fail.

    `kind` is `rule`, `partly` (asked of some clips only, or one of several ways to pass), `when`
    (it says of which clips a rule speaks) or `phase` (another policy of the recipe asks it).
    """

    value: float
    under: bool
    kind: str


@dataclass(frozen=True)
class Axis:
    """Borders of the bars [bars+1], equal in values, in logs, or one bar a whole number."""

    edges: Numbers
    logs: bool = False
    whole: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0…1."""
        edges = self.edges
        if self.logs:
            value, edges = float(np.log(max(value, edges[0]))), np.log(edges)
        return float(np.clip((value - edges[0]) / (edges[-1] - edges[0]), 0, 1))

    def value(self, share: float) -> float:
        """The value at a share of the axis."""
        low, high = float(self.edges[0]), float(self.edges[-1])
        return low * (high / low) ** share if self.logs else low + share * (high - low)

    def border(self, limit: Limit) -> float:
        """Where a threshold is drawn, 0…1: between the bars of whole numbers."""
        aside = 0.5 if self.whole else 0.0
        return self.share(limit.value - aside if limit.under else limit.value + aside)

    def label(self, bar: int) -> str:
        """What a bar holds."""
        low, high = self.edges[bar], self.edges[bar + 1]
        return number(low + 0.5) if self.whole else f"{number(low)} to {number(high)}"


@dataclass(frozen=True)
class Histogram:
    """One score: its chart and what is said beside it."""

    name: str
    unit: str
    about: str
    ruled: bool
    missing: int
    logs: bool
    svg: Markup


def histograms(facts: Facts) -> list[Histogram]:
    """Scores that the policy or a phase judges first, then the others that vary."""
    found = []
    current = facts.recipe.policy.phase(facts.recipe.encode.phase)
    others = [facts.recipe.policy.phase(p) for p in ("", *facts.recipe.policy.phases)]
    ruled = {
        check.score: None
        for policy in (current, *others)
        for rule in policy.rules
        for check in (*rule.leaves(), *rule.conditions())
    }
    for name in dict.fromkeys([*ruled, *NUMERIC]):
        if name not in facts.clips.column_names or is_words(facts, name):
            continue
        values = numbers(facts.clips, name)
        there = values[np.isfinite(values)]
        limits = limits_of(current, name)
        there_already = {(limit.value, limit.under) for limit in limits}
        for other in others:
            asked = [replace(limit, kind="phase") for limit in limits_of(other, name)]
            limits += [x for x in asked if (x.value, x.under) not in there_already]
            there_already |= {(limit.value, limit.under) for limit in limits}
        if not len(there) or (name not in ruled and np.ptp(there) < 1e-9):
            continue
        score = ALL_SCORES.get(name) or FACT.get(name, Score("", ""))
        axis = make_axis(there, [limit.value for limit in limits])
        found.append(
            Histogram(
                name=name,
                unit=score.unit,
                about=score.about,
                ruled=name in ruled,
                missing=len(values) - len(there),
                logs=axis.logs,
                svg=draw(values, facts.kept, limits, axis),
            )
        )
    return found


def is_words(facts: Facts, name: str) -> bool:
    """Whether a column holds names."""
    return str(facts.clips.schema.field(name).type) == "string"


def limits_of(policy: Policy, score: str) -> list[Limit]:
    """Thresholds that the policy sets on a score."""
    found = []
    for rule in policy.rules:
        for check in rule.leaves():
            whole = check is rule and rule.when is None
            found += bounds(check, score, "rule" if whole else "partly")
        for check in rule.conditions():
            found += bounds(check, score, "when")
    return list(dict.fromkeys(found))


def bounds(check: Check, score: str, kind: str) -> list[Limit]:
    """The limits of one check, if it is of that score."""
    if check.score != score:
        return []
    ends = ((check.min, True), (check.max, False))
    return [Limit(value, under, kind) for value, under in ends if value is not None]


def make_axis(values: Numbers, limits: list[float]) -> Axis:
    """The axis of finite values; thresholds are always on it."""
    few = np.unique(values)
    if len(few) <= FEW and np.array_equal(few, np.round(few)) and np.ptp(few) < 2 * FEW:
        return Axis(np.arange(few[0] - 0.5, max(few[-1], few[0] + 1) + 1), whole=True)
    ends = np.percentile(values, TAIL)
    low, high = min([ends[0], *limits]), max([ends[1], *limits])
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    middle = np.percentile(values, [5, 95])
    if low > 0 and np.log10(middle[1] / middle[0]) > DECADES:
        aside = (high / low) ** ASIDE
        low, high = low / aside if low < ends[0] else low, high * aside if high > ends[1] else high
        return Axis(np.geomspace(low, high, BINS + 1), logs=True)
    aside = (high - low) * ASIDE
    low, high = low - aside if low < ends[0] else low, high + aside if high > ends[1] else high
    return Axis(np.linspace(low, high, BINS + 1))


def draw(values: Numbers, kept: Flags, limits: list[Limit], axis: Axis) -> Markup:
    """Bars of kept below dropped, what fails shaded, thresholds, nulls at the right."""
    finite = np.isfinite(values)
    bars = len(axis.edges) - 1
    width = WIDTH - (NULLS if not finite.all() else 0)
    place = np.clip(np.searchsorted(axis.edges, values[finite], "right") - 1, 0, bars - 1)
    below = np.bincount(place[kept[finite]], minlength=bars)
    above = np.bincount(place[~kept[finite]], minlength=bars)
    nulls = int((~finite & kept).sum()), int((~finite & ~kept).sum())
    most = max(1, int((below + above).max()), sum(nulls))
    parts = [shade(x, axis, width) for x in limits if x.kind in ("rule", "partly")]
    step = width / bars
    for k, (good, bad) in enumerate(zip(below.tolist(), above.tolist(), strict=True)):
        parts += column((k * step, step), good, bad, most, axis.label(k))
    if sum(nulls):
        parts += column((WIDTH - NULLS + 12, NULLS - 14), *nulls, most, "not available")
        parts.append(text(WIDTH - (NULLS - 10) / 2, HEIGHT - 6, "null", "middle"))
    parts.append(line((0, BASE, width, BASE), "axis"))
    for limit in limits:
        parts += mark(limit, axis, width)
    return svg(WIDTH, HEIGHT, parts + labels(axis, width))


def labels(axis: Axis, width: float) -> list[Markup]:
    """Numbers below the axis: of every bar of whole numbers, else both ends and the middle."""
    bars = len(axis.edges) - 1
    if axis.whole:
        return [
            text((k + 0.5) * width / bars, HEIGHT - 6, axis.label(k), "middle") for k in range(bars)
        ]
    ends = ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    return [text(at * width, HEIGHT - 6, number(axis.value(at)), end) for at, end in ends]


def column(
    where: tuple[float, float], kept: int, dropped: int, most: int, label: str
) -> list[Markup]:
    """One bar at (left, width): kept below, dropped on top; its numbers on hovering.

    As high as the root of the count, so that a hundred clips are seen beside ten thousand.
    """
    parts, y = [], float(BASE)
    left, width = where
    for count, kind in ((kept, "kept"), (dropped, "drop")):
        if count:
            whole = (BASE - TOP) * ((kept + dropped) / most) ** 0.5
            tall = max(LEAST, whole * count / (kept + dropped))
            y -= tall
            parts.append(rect((left + 0.5, y, max(1.0, width - 1), tall), kind))
    if not parts:
        return []
    told = Markup("<title>{}: {} kept, {} dropped</title>").format(label, kept, dropped)
    return [Markup("<g>") + told + Markup("").join(parts) + Markup("</g>")]


def shade(limit: Limit, axis: Axis, width: float) -> Markup:
    """The side of a threshold on which clips fail."""
    at = axis.border(limit) * width
    left, right = (0.0, at) if limit.under else (at, width)
    return rect((left, TOP, max(0.0, right - left), BASE - TOP), f"fails {limit.kind}")


def mark(limit: Limit, axis: Axis, width: float) -> list[Markup]:
    """A threshold with its value above."""
    at = axis.border(limit) * width
    anchor = "end" if limit.under else "start"  # on the side that fails, where there is room
    if not 30 < at < width - 30:
        anchor = "start" if at < 30 else "end"
    label = text(at, TOP - 5, number(limit.value), anchor)
    return [line((at, TOP - 2, at, BASE), f"limit {limit.kind}"), label]
