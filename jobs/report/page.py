"""From facts to one HTML file. The template escapes everything; markup comes from charts alone."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from curation.alignment import Alignment
from curation.media import MediaReader
from curation.records import clean
from jobs.config import code_version
from jobs.report import charts, funnel, kept_set
from jobs.report.cards import cards_of
from jobs.report.explain import nearness
from jobs.report.facts import Facts
from jobs.report.films import refused_films
from jobs.report.gallery import Group, groups
from jobs.report.histograms import histograms
from jobs.report.latents import round_trips
from jobs.report.media import Budget
from jobs.report.previews import prune
from jobs.report.proof import Proof, prove
from jobs.report.training import fall, training

TEMPLATES = Path(__file__).parent / "templates"
LISTED = 40  # rows of a table that a person may read; the rest is counted
# What `Show` of the gallery offers before the reasons: key and words.
SHOWN = (("all", "all"), ("kept", "kept"), ("near", "borderline"), ("dropped", "dropped"))


def render(facts: Facts) -> tuple[str, Proof | None]:
    """The page, and the proof of sync that it prints."""
    budget = Budget()
    policy = facts.recipe.policy.phase(facts.recipe.encode.phase)
    near = nearness(policy, facts.clips) if facts.decision else None
    found = groups(facts, near) if near else []
    with MediaReader(facts.recipe.scan.limits) as reader:
        proof = prove(facts, reader, budget)
        trips = round_trips(facts, reader, budget)
    cards = cards_of(facts, found, near, budget) if near else {}
    films = refused_films(facts, budget)
    shown = [card.clip["clip_id"] for group in cards.values() for card in group]
    seen = [f"{film.source_id}-film" for film in films.cards]
    prune(facts.recipe.data.previews, [*shown, *seen])
    page = filled(
        "report.html",
        filters(found),
        title=facts.recipe.name,
        tiles=tiles(facts, proof),
        written=facts.written,
        proof=proof,
        proof_bars=proof_bars(proof),
        training=training(facts),
        stages=funnel.stages(facts),
        palette=funnel.palette(facts) if facts.decision else {},
        kinds=kinds(facts),
        phases=funnel.by_phase(facts),
        removals=funnel.removals(facts),
        anchors={group.title: group.key for group in found if group.key.startswith("r")},
        histograms=histograms(facts) if facts.decision else [],
        shapes=kept_set.shapes(facts) if facts.decision else [],
        lists=kept_set.lists(facts) if facts.decision else [],
        groups=found,
        cards=cards,
        shown=SHOWN,
        films=films,
        failures=failures(facts),
        trips=trips,
        round_trips=facts.round_trips[:LISTED],
        shards=shards(facts),
        passes=facts.passes[-LISTED:],
        recipe=yaml.safe_dump(facts.recipe.model_dump(mode="json"), sort_keys=False),
        left_out=budget.refused,
    )
    return page, proof


def filled(template: str, more_style: str = "", **values: Any) -> str:  # noqa: ANN401
    """A closed page: a template with our style inside, its hash for the policy, day and code."""
    style = (TEMPLATES / "style.css").read_text() + more_style
    return (
        environment()
        .get_template(template)
        .render(
            style=Markup(style),  # noqa: S704 - our own file, and keys of our own
            style_hash=style_hash(style),
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            code=code_version(),
            **values,
        )
    )


def environment() -> Environment:
    """The templates, which escape whatever is put in."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["hours"] = hours
    return made


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a template puts out
    """Text without characters that are not seen: zero bytes, escapes, what turns other text around.

    Here, for all of the page, because one place that forgets it is enough. Markup is our own, and
    what was put into it went through here.
    """
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in value)


def hours(value: float) -> str:
    """Hours to four digits or to the second, so that columns of small and large sets both read."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.{4 if value < 10 else 2}f}"


def style_hash(style: str) -> str:
    """What the policy of the page allows as its only style, so that no text can bring another."""
    return f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}"


def filters(found: Sequence[Group]) -> str:
    """Style that shows the cards of the filter that is checked; no script is needed for it."""
    keys = [key for key, _ in SHOWN[1:]] + [g.key for g in found if g.key[0] == "r"]
    return "".join(
        f"main:has(#f-{key}:checked) .card:not(.k-{key}),"
        f"main:has(#f-{key}:checked) .group:not(:has(.k-{key})){{display:none}}\n"
        for key in dict.fromkeys([*keys, *(g.key for g in found if g.key == "failed")])
    )


def kinds(facts: Facts) -> list[tuple[str, list[funnel.Kind]]]:
    """Tables of what was kept by kind."""
    if not facts.decision:
        return []
    tables = [
        ("class of sound", funnel.by_class(facts)),
        ("film", funnel.by_film(facts)),
        ("licence", funnel.by_licence(facts)),
    ]
    return [(title, rows) for title, rows in tables if rows]


def tiles(facts: Facts, proof: Proof | None) -> list[tuple[str, str]]:
    """The numbers on top: value and label."""
    found = []
    if facts.sources:
        found.append((f"{len(facts.sources)}", "films found"))
    if facts.decision:
        found.append((f"{int(facts.kept.sum())} of {len(facts.kept)}", "clips kept"))
        found.append((span(float(facts.seconds[facts.kept].sum())), "kept picture and sound"))
        found.append((span(float(facts.seconds.sum())), "in all clips"))
    if facts.letters:
        found.append((f"{len(facts.letters)}", "inputs failed in a pass"))
    if facts.contract:
        size = sum(shard["bytes"] for shard in facts.contract["shards"])
        found.append((f"{size / 1e6:.1f} MB", f"in {len(facts.contract['shards'])} shards"))
    steps = [line for line in facts.log if line["kind"] == "step" and "loss" in line]
    if steps:
        found.append((f"{steps[-1]['step']}", "training steps"))
        found.append((f"{fall(steps):.0%}", "of the first loss is left"))
    if proof and proof.generated:
        found.append((f"{proof.generated.matched:.0%}", "of onsets on an impact"))
    return found


def span(seconds: float) -> str:
    """Hours where there are hours, else minutes."""
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def failures(facts: Facts) -> list[dict[str, Any]]:
    """What failed in which pass: how often, and one of them."""
    groups = Counter((d.step, d.of, d.reason) for d in facts.letters)
    first = {(d.step, d.of, d.reason): d for d in reversed(facts.letters)}
    return [
        {
            "step": f"{step} {of}".strip(),
            "reason": reason,
            "count": count,
            "example": clean(first[step, of, reason].id or first[step, of, reason].path, 80),
            "detail": clean(first[step, of, reason].detail, 200),
        }
        for (step, of, reason), count in groups.most_common(LISTED)
    ]


def shards(facts: Facts) -> dict[str, Any] | None:
    """What the contract promises."""
    if not facts.contract:
        return None
    contract = facts.contract
    return {
        "fingerprint": contract["fingerprint"],
        "hours": contract["hours"],
        "bytes": sum(shard["bytes"] for shard in contract["shards"]),
        "counts": flat(contract["counts"]),
        "buckets": {name: flat(value) for name, value in contract["buckets"].items()},
        "made_by": {key: flat(contract[key]) for key in ("video_vae", "audio_vae", "text")},
        "shards": contract["shards"][:LISTED],
        "more": max(0, len(contract["shards"]) - LISTED),
    }


def flat(value: Any) -> str:  # noqa: ANN401 - JSON
    """A JSON value on one line without braces."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {flat(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "; ".join(flat(inner) for inner in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def proof_bars(proof: Proof | None) -> Markup:
    """Matched beside shuffled, for generated clips and for real ones."""
    if proof is None:
        return Markup("")
    rows: list[tuple[str, float, str]] = []
    for label, found in (("generated", proof.generated), ("real, held out", proof.real)):
        rows += bars_of(label, found)
    return charts.shares(rows)


def bars_of(label: str, found: Alignment | None) -> list[tuple[str, float, str]]:
    """Two bars of one measurement."""
    if found is None:
        return []
    return [
        (f"{label}: own sound", found.matched, "kept"),
        (f"{label}: shuffled", found.shuffled, "muted"),
    ]
