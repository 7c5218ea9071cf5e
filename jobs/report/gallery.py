"""Which clips the page shows: kept, borderline, dropped for each reason, failed.

The sample is small, fair and the same each time: the lot is the hash of an id, kinds take turns,
and a clip stands once.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jobs.report.explain import Near
from jobs.report.facts import Facts
from jobs.report.funnel import bare

Places = NDArray[np.int64]
KEPT, BORDERLINE, PER_REASON, MOST_DROPPED, FAILED = 12, 6, 3, 48, 8
NEAR = 1.0  # spreads: what is further away is no border


@dataclass(frozen=True)
class Group:
    """Clips of one heading: `places` in the table of clips, of `total` that could stand here.

    `above` of them stand under an earlier heading.
    """

    key: str  # of the page's own, never from data
    title: str
    about: str
    total: int
    places: list[int] = field(default_factory=list)
    above: int = 0


def groups(facts: Facts, near: Near) -> list[Group]:
    """What the gallery shows, in its order; empty groups are left out."""
    if not facts.decision:
        return []
    ids = facts.clips["clip_id"].to_pylist()
    lot = np.array([int(hashlib.blake2b(i.encode(), digest_size=7).hexdigest(), 16) for i in ids])
    labels, kept = facts.classes, facts.kept
    reasons = facts.decision.verdicts["reason"].to_numpy(zero_copy_only=False)
    taken: set[int] = set()

    def pick(order: Iterable[int], most: int) -> list[int]:
        chosen = [int(k) for k in order if int(k) not in taken][:most]
        taken.update(chosen)
        return chosen

    failed = failed_places(facts)
    found = [
        Group(
            "failed",
            "Failed",
            "clips that a pass after the scan could not finish",
            len(failed),
            pick(failed, FAILED),
        )
    ]
    for key, title, inside, about in (
        # Without a rule that they fail they were dropped as a leak or by balance, not by a score.
        (
            "nearly-kept",
            "Nearly kept",
            ~kept & (near.fails > 0),
            "one rule drops them, and only just",
        ),
        ("nearly-dropped", "Nearly dropped", kept, "they pass, and one rule only just"),
    ):
        close = np.flatnonzero(inside & (near.distance < NEAR))
        order = close[np.lexsort((lot[close], near.distance[close]))]
        spread = turns(order, lambda k: near.rule[k])
        found.append(Group(key, title, about, len(close), pick(spread, BORDERLINE)))
    mine = np.flatnonzero(kept)
    fair = turns(mine[np.argsort(lot[mine])], lambda k: labels[k])
    found.append(Group("kept", "Kept", "a sample of every class", len(mine), pick(fair, KEPT)))
    found += dropped(reasons, lot, kept, taken, pick)
    first = ("kept", "nearly-dropped", "nearly-kept")
    ranked = sorted(found, key=lambda g: first.index(g.key) if g.key in first else len(first))
    return [group for group in ranked if group.total]


def dropped(
    reasons: NDArray[np.object_],
    lot: Places,
    kept: NDArray[np.bool_],
    taken: set[int],
    pick: Callable[[Iterable[int], int], list[int]],
) -> list[Group]:
    """A group a reason, the commonest first; rare reasons get as many clips as common ones."""
    names, place, count = np.unique(
        reasons[~kept].astype(str), return_inverse=True, return_counts=True
    )
    where = np.flatnonzero(~kept)
    each = min(PER_REASON, max(1, MOST_DROPPED // max(1, len(names))))
    found: list[Group] = []
    for number in np.argsort(-count, kind="stable"):
        mine = where[place == number]
        above = len(taken.intersection(mine.tolist()))
        chosen = pick(mine[np.argsort(lot[mine])], each) if len(found) < MOST_DROPPED else []
        title = bare(str(names[number]))
        found.append(Group(f"r{len(found)}", title, "", int(count[number]), chosen, above))
    return found


def turns(order: Sequence[int] | Places, kind: Callable[[int], object]) -> list[int]:
    """The order, with kinds taking turns: the first of each kind, then the second of each."""
    rounds: dict[object, int] = {}
    keyed = []
    for place in order:
        name = kind(int(place))
        rounds[name] = rounds.get(name, -1) + 1
        keyed.append((rounds[name], int(place)))
    return [place for _, place in sorted(keyed, key=lambda pair: pair[0])]


def failed_places(facts: Facts) -> list[int]:
    """Clips that failed in a pass after the scan, each once, passes and reasons taking turns."""
    place = {name: k for k, name in enumerate(facts.clips["clip_id"].to_pylist())}
    first: dict[int, tuple[str, str, str]] = {}
    for letter in facts.letters:
        if letter.id in place:
            first.setdefault(place[letter.id], (letter.step, letter.of, letter.reason))
    return turns(list(first), lambda k: first[k])
