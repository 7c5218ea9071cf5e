"""Which clips the page shows, and what stands beside each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.media import MediaReader
from jobs.report.charts import number
from jobs.report.facts import Facts, is_kept, margin, numeric_scores
from jobs.report.media import Budget, Shown, show_span

KEPT, REJECTED, BORDERLINE = 8, 8, 6
PER_REASON = 2


@dataclass(frozen=True)
class Card:
    """One clip of the data: media, captions, scores, verdict."""

    clip: dict[str, Any]
    shown: Shown
    scores: list[tuple[str, str]]
    reason: str
    detail: str


def cards_of(facts: Facts, reader: MediaReader, budget: Budget) -> dict[str, list[Card]]:
    """Kept, borderline and rejected clips, chosen to differ: spread over films and reasons."""
    kept = [clip for clip in facts.clips if is_kept(clip)]
    dropped = [clip for clip in facts.clips if clip["verdict"] and not is_kept(clip)]
    close = np.argsort(margin(facts.recipe.policy, facts.clips), kind="stable")
    near = [facts.clips[i] for i in close[:BORDERLINE]] if dropped else []
    groups = {
        "Kept": spread(kept, KEPT),
        "Borderline": near,
        "Rejected": by_reason(dropped, REJECTED),
    }
    return {
        title: [card(clip, reader, budget) for clip in clips]
        for title, clips in groups.items()
        if clips
    }


def spread(clips: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Clips at equal distances in the order of ids, which are hashes: a fair sample."""
    if len(clips) <= count:
        return clips
    return [clips[i] for i in np.linspace(0, len(clips) - 1, count).round().astype(int)]


def by_reason(clips: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """At most PER_REASON clips of each reason, rare reasons as well as common ones."""
    taken: dict[str, list[dict[str, Any]]] = {}
    for clip in clips:
        group = taken.setdefault(clip["verdict"]["reason"] or "", [])
        if len(group) < PER_REASON:
            group.append(clip)
    return [clip for group in taken.values() for clip in group][:count]


def card(clip: dict[str, Any], reader: MediaReader, budget: Budget) -> Card:
    """Cut the clip out of its film and write down what the ledger knows of it."""
    shown = show_span(reader, budget, Path(clip["path"]), clip["start_s"], clip["end_s"])
    values = [(name, clip.get(name)) for name in numeric_scores()]
    verdict = clip["verdict"] or {}
    return Card(
        clip=clip,
        shown=shown,
        scores=[(name, "–" if value is None else number(value)) for name, value in values],
        reason=verdict.get("reason") or "",
        detail=verdict.get("detail") or "",
    )
