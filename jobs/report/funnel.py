"""Where the hours went: stage by stage, rule by rule, by class of sound, by film, by phase."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from markupsafe import Markup
from numpy.typing import NDArray

from curation.records import Reason, Status, clean
from jobs.report.charts import stacked
from jobs.report.explain import rule_text
from jobs.report.facts import Facts
from pipelines.policy import Rule
from pipelines.policy_diff import reasons
from pipelines.verdicts import BALANCE, LEAK, Decision, answers

Flags = NDArray[np.bool_]
COLOURS = {"speech": "b0", "music": "b1", "effects": "b2", "singing": "b3", "ambience": "b4"}
OTHERS = "b5"  # silence, and what nobody has judged
FILMS = 12  # with a line each
REASONS = 3  # named in a line
WORDS = {
    LEAK: "training clips that repeat a held-out one in picture, sound or meaning",
    BALANCE: "clips of a kind that is above its share of the kept hours",
}


@dataclass(frozen=True)
class Stage:
    """One line of the funnel; `lost` are clips since the line before."""

    label: str
    count: int
    hours: float
    lost: int = 0
    bar: Markup = field(default_factory=Markup)
    unit: str = "clips"


@dataclass(frozen=True)
class Removal:
    """What one rule removes: by itself, in its turn, alone. (clips, hours) each."""

    title: str
    asks: str
    null: str
    failed: tuple[int, float]
    removed: tuple[int, float]
    alone: tuple[int, float]
    left: tuple[int, float]


@dataclass(frozen=True)
class Kind:
    """What became of the clips of one class, film or phase. (clips, hours) each."""

    label: str
    cut: tuple[int, float]
    kept: tuple[int, float]
    share: float  # of the hours that were cut
    why: list[tuple[str, int]]
    colour: str = ""


def amount(facts: Facts, flags: Flags) -> tuple[int, float]:
    """(clips, hours) of the flagged clips."""
    return int(flags.sum()), float(facts.seconds[flags].sum()) / 3600


def palette(facts: Facts) -> dict[str, str]:
    """The style's colour of each class of sound that is there, the largest first."""
    labels, seconds = facts.classes, facts.seconds
    names = sorted(set(labels), key=lambda name: (-seconds[labels == name].sum(), name))
    return {name: COLOURS.get(name, OTHERS) for name in names}


def stages(facts: Facts) -> list[Stage]:
    """From films to training samples."""
    if not facts.decision:
        return []
    gone, steps = turns(facts.decision)
    whole = film_hours(facts)
    full = max(whole, float(facts.seconds.sum()) / 3600)
    rows = [Stage("films found", len(facts.sources), whole, unit="films")]
    everything = np.ones(facts.clips.num_rows, dtype=bool)
    rows.append(stage(facts, "clips cut", everything, 0, full))
    for index, title in enumerate(steps):
        lost = int((gone == index).sum())
        if lost:
            rows.append(stage(facts, f"after {title}", gone > index, lost, full))
    rows.append(stage(facts, "kept by the policy", facts.kept, 0, full))
    if facts.artefacts.num_rows:
        made = facts.artefacts.filter(pc.equal(facts.artefacts["status"], "ok"))
        here = np.asarray(pc.is_in(facts.clips["clip_id"], value_set=combined(made["clip_id"])))
        made_of = facts.kept & here
        lost = int((facts.kept & ~made_of).sum())
        rows.append(stage(facts, "encoded into shards", made_of, lost, full))
    return rows


def combined(column: Any) -> Any:  # noqa: ANN401 - Arrow arrays
    """A chunked column as one array."""
    return column.combine_chunks()


def film_hours(facts: Facts) -> float:
    """Hours of the films that opened; a film whose length is not known counts none."""
    return sum(row["seconds"] or 0.0 for row in facts.sources) / 3600


def turns(decision: Decision) -> tuple[NDArray[np.int64], list[str]]:
    """(the step of the funnel that took each clip [clips], its number of steps if none; titles)."""
    titles = [step.title for step in decision.funnel]
    number = {f"{Reason.POLICY}:{title}": index for index, title in enumerate(titles)}
    names = decision.verdicts["reason"].to_pylist()
    return np.array([number.get(name, len(titles)) for name in names]), titles


def stage(facts: Facts, label: str, left: Flags, lost: int, full: float) -> Stage:
    """One line, its bar parted by class."""
    count, hours = amount(facts, left)
    labels = facts.classes
    parts = [
        (amount(facts, left & (labels == name))[1] / full if full else 0.0, colour, name)
        for name, colour in palette(facts).items()
    ]
    return Stage(label, count, hours, lost, stacked(parts))


def removals(facts: Facts) -> list[Removal]:
    """The rules in their order, then leaks and balance."""
    if not facts.decision:
        return []
    policy = facts.recipe.policy.phase(facts.recipe.encode.phase)
    rules = {rule.title: rule for rule in policy.rules}
    return [
        Removal(
            title=step.title,
            asks=rule_text(rules[step.title]) if step.title in rules else WORDS[step.title],
            null=null_text(rules[step.title], facts) if step.title in rules else "",
            failed=(step.failed, step.failed_hours),
            removed=(step.removed, step.removed_hours),
            alone=(step.alone, step.alone_hours),
            left=(step.left, step.left_hours),
        )
        for step in facts.decision.funnel
    ]


def null_text(rule: Rule, facts: Facts) -> str:
    """How many clips a rule speaks of, for how many nothing is known, and what that means."""
    _, known = answers(rule, facts.clips)
    spoken = np.ones(len(known), dtype=bool)
    words = []
    if rule.when is not None:
        yes, sure = answers(rule.when, facts.clips)
        spoken = yes & sure
        words.append(f"asked of {int(spoken.sum())}")
    if missing := int((spoken & ~known).sum()):
        words.append(f"{missing} not known: {'kept' if rule.when_null == 'keep' else 'dropped'}")
    return ", ".join(words)


def by_class(facts: Facts) -> list[Kind]:
    """The clips by class of sound, largest first, and all together."""
    labels, colours = facts.classes, palette(facts)
    rows = [kind(facts, name, labels == name, colours[name]) for name in colours]
    return [*rows, kind(facts, "all", np.ones(len(labels), dtype=bool))]


def by_film(facts: Facts) -> list[Kind]:
    """The clips of the films with the most hours, and of all others together."""
    return ranked(facts, facts.clips["source_id"].to_pylist(), film_names(facts), "films")


def by_licence(facts: Facts) -> list[Kind]:
    """The clips by licence, where there is more than one."""
    values = [clean(value or "not stated", 60) for value in facts.clips["licence"].to_pylist()]
    return ranked(facts, values, {}, "licences") if len(set(values)) > 1 else []


def film_names(facts: Facts) -> dict[str, str]:
    """Names by source_id of the files that were decoded; copies of the same bytes were not."""
    opened = (row for row in facts.sources if row["status"] == Status.OK)
    return {row["source_id"]: clean(Path(row["path"]).name, 60) for row in opened}


def ranked(facts: Facts, values: list[str], names: dict[str, str], what: str) -> list[Kind]:
    """The clips by value: the FILMS values with the most hours, and the rest."""
    found, place = np.unique(np.array(values, dtype=object), return_inverse=True)
    hours = np.bincount(place, facts.seconds, len(found))
    order = np.argsort(-hours, kind="stable")
    rows = [kind(facts, names.get(str(found[k]), str(found[k])), place == k) for k in order[:FILMS]]
    if len(order) > FILMS:
        rest = np.isin(place, order[FILMS:])
        rows.append(kind(facts, f"{len(order) - FILMS} other {what}", rest))
    return rows


def kind(facts: Facts, label: str, inside: Flags, colour: str = "") -> Kind:
    """One line: what was cut, what is kept, and the reasons that took most."""
    cut, kept = amount(facts, inside), amount(facts, inside & facts.kept)
    assert facts.decision is not None, "kinds are of clips that were judged"
    dropped = facts.decision.verdicts["reason"].to_numpy(zero_copy_only=False)[inside & ~facts.kept]
    why = Counter(bare(name) for name in dropped).most_common(REASONS)
    return Kind(label, cut, kept, kept[1] / cut[1] if cut[1] else 0.0, why, colour)


def bare(reason: str) -> str:
    """The rule that a verdict's reason names."""
    return reason.removeprefix(f"{Reason.POLICY}:")


def by_phase(facts: Facts) -> list[dict[str, Any]]:
    """What every other policy of the recipe keeps, and by which rules it differs from this one."""
    if not facts.decision:
        return []
    mine = facts.recipe.encode.phase or "the policy"
    rows = [phase(facts, mine, facts.decision, [])]
    for name, other in facts.phases.items():
        changes = [
            f"{rule[0]} {bare(rule[2:])} {count}"
            for rule, count, _ in reasons(facts.decision, other)[: 2 * REASONS]
        ]
        rows.append(phase(facts, name, other, changes))
    return rows if facts.phases else []


def phase(facts: Facts, name: str, decision: Decision, changes: Sequence[str]) -> dict[str, Any]:
    """One line of the phases: clips, hours, and hours by class."""
    count, hours = amount(facts, decision.kept)
    labels = facts.classes
    full = float(facts.seconds.sum()) / 3600
    parts = [
        (amount(facts, decision.kept & (labels == one))[1] / full, colour, one)
        for one, colour in palette(facts).items()
    ]
    return {
        "name": name,
        "count": count,
        "hours": hours,
        "bar": stacked(parts),
        "changes": list(changes),
    }
