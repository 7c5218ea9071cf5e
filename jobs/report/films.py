"""Films that gave no clips, and why; with a look at those that can be looked at."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from curation.progress import progress
from curation.records import Reason, clean
from jobs.report.facts import Facts
from jobs.report.media import LONGEST_S, Budget, Shown, show
from jobs.report.previews import Span, previews
from pipelines.ledger import Row

LISTED = 40  # rows of a table that a person may read; the rest is counted
EACH = 2  # films of a reason that are shown
# Refused for what they are, not for what decoding them does: these can be opened again.
HARMLESS = (Reason.TOO_SHORT, Reason.NO_AUDIO, Reason.TOO_LONG)


@dataclass
class Refused:
    """A film without clips."""

    name: str
    source_id: str
    status: str
    reason: str
    detail: str
    shown: Shown = field(default_factory=Shown)


@dataclass(frozen=True)
class RefusedFilms:
    """All of them in numbers, some as rows, a few with a picture."""

    reasons: list[tuple[str, str, int]]
    rows: list[Refused]
    more: int
    cards: list[Refused]


def refused_films(facts: Facts, budget: Budget) -> RefusedFilms:
    """Films whose row is not ok, rare reasons as well as common ones."""
    bad = [row for row in facts.sources if row["status"] != "ok"]
    counts = Counter((row["status"], row["reason"] or "") for row in bad)
    by_reason: dict[str, list[Row]] = {}
    for row in sorted(bad, key=lambda row: (row["source_id"] or "", row["path"])):
        by_reason.setdefault(row["reason"] or "", []).append(row)
    depth = max(map(len, by_reason.values()), default=0)
    mixed = [rows[k] for k in range(depth) for rows in by_reason.values() if k < len(rows)]
    seen = [row for reason in HARMLESS for row in by_reason.get(reason, [])[:EACH]]
    return RefusedFilms(
        reasons=[(status, reason, count) for (status, reason), count in counts.most_common()],
        rows=[refused(row) for row in mixed[:LISTED]],
        more=max(0, len(mixed) - LISTED),
        cards=looked_at([row for row in seen if row["source_id"]], facts, budget),
    )


def refused(row: Row) -> Refused:
    """A row of the ledger as the page tells it."""
    return Refused(
        name=clean(Path(row["path"]).name, 80),
        source_id=row["source_id"] or "",
        status=row["status"],
        reason=row["reason"] or "",
        detail=clean(row["detail"] or "", 200),
    )


def looked_at(rows: list[Row], facts: Facts, budget: Budget) -> list[Refused]:
    """The films with their first seconds."""
    spans = [
        Span(
            f"{row['source_id']}-film",
            row["source_id"],
            row["path"],
            0.0,
            min(row["seconds"] or LONGEST_S, LONGEST_S),
            row["bytes"],
            row["mtime_ns"],
        )
        for row in rows
    ]
    films = []
    folder, limits = facts.recipe.data.previews, facts.recipe.scan.limits
    with progress("report", len(spans), "films") as advance:
        made = previews(spans, folder, limits)
        for row, (_, preview) in zip(rows, made, strict=True):
            film = refused(row)
            film.shown = show(budget, preview)
            films.append(film)
            advance()
    return films
