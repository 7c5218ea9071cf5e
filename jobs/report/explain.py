"""Why a clip has its verdict, rule by rule, and how near it is to another one.

Distances are in spreads of a score: its standard deviation between the 1st and 99th percentile of
all clips, so that one freak does not make everything look near.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.report.charts import number
from pipelines.policy import Check, Policy, Rule, is_text
from pipelines.verdicts import Flags, answers, details, failing, numbers

Numbers = NDArray[np.float64]
TIE = 0.1  # a value that more than this share of the clips have is near to nothing: it is usual
FAILS, PASSES, UNKNOWN, NOT_ASKED = "fails", "passes", "not known", "not asked"


@dataclass(frozen=True)
class Line:
    """One rule about one clip. `far` is None where no distance can be told."""

    rule: str
    state: str
    value: str
    limit: str
    far: float | None


@dataclass(frozen=True)
class Near:
    """For each clip [clips]: the distance to another verdict, inf where none is near, and the rule
    that would change it; `fails` is how many rules they fail.
    """

    distance: Numbers
    rule: NDArray[np.int64]
    fails: NDArray[np.int64]


def nearness(policy: Policy, clips: pa.Table) -> Near:
    """How far clips are from another verdict.

    A kept clip is as near as the nearest threshold that would drop it; a dropped one as the
    threshold of the rule that drops it, if that is the only one.
    """
    fails = np.zeros((len(policy.rules), clips.num_rows), dtype=bool)
    for index, rule in enumerate(policy.rules):
        fails[index] = failing(rule, clips)
    votes = fails.sum(axis=0)
    distance = np.full(clips.num_rows, np.inf)
    nearest = np.full(clips.num_rows, -1)
    for index, rule in enumerate(policy.rules):
        reach = np.where(votes == fails[index], flips(rule, clips), np.inf)
        closer = reach < distance
        distance[closer], nearest[closer] = reach[closer], index
    return Near(distance, nearest, votes)


def flips(rule: Rule, clips: pa.Table) -> Numbers:
    """How far each clip is from the other answer to a rule [clips], inf where it is not asked."""
    far = check_flips(rule, clips)
    if rule.when is not None:
        asked, sure = answers(rule.when, clips)
        far = np.where(asked & sure, far, np.inf)
    return far


def check_flips(check: Check, clips: pa.Table) -> Numbers:
    """The same of a check. A group turns when enough of its members do."""
    if check.score:
        return leaf_flips(check, clips)
    parts = [check_flips(part, clips) for part in (check.any or check.all)]
    told = [answers(part, clips) for part in (check.any or check.all)]
    yes, known = answers(check, clips)
    # To turn an `any` from no to yes one member is enough, from yes to no all that say yes must go.
    one = np.minimum.reduce(parts)
    if check.any:
        every = np.maximum.reduce(
            [np.where(y, far, 0.0) for far, (y, _) in zip(parts, told, strict=True)]
        )
        far = np.where(yes, every, one)
    else:
        every = np.maximum.reduce(
            [np.where(k & ~y, far, 0.0) for far, (y, k) in zip(parts, told, strict=True)]
        )
        far = np.where(yes, one, every)
    return np.where(known, far, np.inf)


def leaf_flips(check: Check, clips: pa.Table) -> Numbers:
    """The distance to the limit of one score; inf for names, nulls and values that are usual."""
    far = np.full(clips.num_rows, np.inf)
    if is_text(check.score) or (check.min is None and check.max is None):
        return far
    values = numbers(clips, check.score)
    width = spread(values)
    if not width:
        return far
    low = -np.inf if check.min is None else check.min
    high = np.inf if check.max is None else check.max
    inside = (values >= low) & (values <= high)
    outside = np.fmax(low - values, values - high)
    away = np.where(inside, np.fmin(values - low, high - values), outside) / width
    return np.where(np.isnan(away) | usual(values), np.inf, away)


def spread(values: Numbers) -> float:
    """Standard deviation between the 1st and 99th percentile; of all where that is 0."""
    there = values[np.isfinite(values)]
    if not there.size:
        return 0.0
    low, high = np.percentile(there, [1, 99])
    return float(np.clip(there, low, high).std() or there.std())


def usual(values: Numbers) -> Flags:
    """Which values more than a tenth of the clips, and more than one, share exactly."""
    found, place, count = np.unique(values, return_inverse=True, return_counts=True)
    often = (count > 1) & (count > TIE * len(values)) & np.isfinite(found)
    flags: Flags = often[place]
    return flags


def explain(policy: Policy, clips: pa.Table, picked: NDArray[np.int64]) -> list[list[Line]]:
    """What each rule says of the picked clips: what fails first, then what passes narrowly."""
    some = clips.take(pa.array(picked))
    found: list[list[Line]] = [[] for _ in picked]
    for rule in policy.rules:
        fails = failing(rule, some)
        state = states(rule, some, fails)
        values = details(rule, some)
        far = flips(rule, clips)[picked]
        limit = check_text(rule).removeprefix(f"{rule.score} ")
        for index, lines in enumerate(found):
            near = float(far[index]) if np.isfinite(far[index]) else None
            value = str(values[index])
            lines.append(Line(rule.title, state[index], value, limit, near))
    order = (FAILS, PASSES, UNKNOWN, NOT_ASKED)
    for lines in found:
        lines.sort(key=lambda line: (order.index(line.state), line.far is None, line.far or 0.0))
    return found


def states(rule: Rule, clips: pa.Table, fails: Flags) -> list[str]:
    """Whether each clip fails a rule, passes it, cannot tell, or is not asked."""
    _, known = answers(rule, clips)
    asked = np.ones(clips.num_rows, dtype=bool)
    if rule.when is not None:
        yes, sure = answers(rule.when, clips)
        asked = yes & sure
    words = np.where(fails, FAILS, np.where(~asked, NOT_ASKED, np.where(known, PASSES, UNKNOWN)))
    found: list[str] = words.tolist()
    return found


def rule_text(rule: Rule) -> str:
    """What a rule asks, in words: `snr_db ≥ 20 when sound_class is speech or music`."""
    words = check_text(rule)
    if rule.when is not None:
        words += f" when {check_text(rule.when)}"
    return words


def check_text(check: Check, top: bool = True) -> str:
    """What a check asks."""
    if not check.score:
        word = " or " if check.any else " and "
        inner = word.join(check_text(part, top=False) for part in (check.any or check.all))
        return inner if top else f"({inner})"
    said = []
    if check.min is not None and check.max is not None:
        said.append(f"{number(check.min)} … {number(check.max)}")
    elif check.min is not None:
        said.append(f"≥ {number(check.min)}")
    elif check.max is not None:
        said.append(f"≤ {number(check.max)}")
    if check.one_of:
        said.append(f"is {' or '.join(check.one_of)}")
    if check.none_of:
        said.append(f"is not {' or '.join(check.none_of)}")
    if check.present is not None:
        said.append("is there" if check.present else "is absent")
    return f"{check.score} {', '.join(said)}"
