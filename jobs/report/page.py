"""From facts to one HTML file. The template escapes everything; markup comes from charts alone."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from curation.alignment import Alignment
from curation.media import MediaReader
from curation.records import clean
from jobs.config import code_version
from jobs.report import charts
from jobs.report.clips import cards_of
from jobs.report.facts import Facts, is_kept, limits_of, numbers_of, numeric_scores
from jobs.report.media import Budget
from jobs.report.proof import Proof, prove
from pipelines.policy import ALL_SCORES

TEMPLATES = Path(__file__).parent / "templates"
LISTED = 40  # rows of a table that a person may read; the rest is counted


def render(facts: Facts) -> tuple[str, Proof | None]:
    """The page, and the proof of sync that it prints."""
    budget = Budget()
    with MediaReader() as reader:
        proof = prove(facts, reader, budget)
        groups = cards_of(facts, reader, budget)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        style=Markup((TEMPLATES / "style.css").read_text()),  # noqa: S704 - our own file
        title=facts.recipe.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        code=code_version(),
        tiles=tiles(facts, proof),
        proof=proof,
        proof_bars=proof_bars(proof),
        funnel=funnel(facts),
        histograms=histograms(facts),
        groups=groups,
        refused=refused(facts),
        shards=shards(facts),
        training=training(facts),
        recipe=yaml.safe_dump(facts.recipe.model_dump(mode="json"), sort_keys=False),
        left_out=budget.refused,
    )
    return page, proof


def tiles(facts: Facts, proof: Proof | None) -> list[tuple[str, str]]:
    """The numbers on top: value and label."""
    found = []
    if facts.sources:
        found.append((f"{len(facts.sources)}", "films found"))
    if facts.clips:
        kept = [clip for clip in facts.clips if is_kept(clip)]
        found.append((f"{len(kept)} of {len(facts.clips)}", "clips kept"))
        found.append((span(sum(clip["seconds"] for clip in kept)), "kept picture and sound"))
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


def fall(steps: list[dict[str, Any]]) -> float:
    """Mean loss of the last 5 % of the steps over that of the first 5 (before it has learnt)."""
    losses = [line["loss"] for line in steps]
    tail = max(1, len(losses) // 20)
    return float(np.mean(losses[-tail:]) / np.mean(losses[:5]))


def span(seconds: float) -> str:
    """Hours where there are hours, else minutes."""
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def funnel(facts: Facts) -> list[dict[str, Any]]:
    """From films to training samples: label, count, hours, share of what came in."""
    if not facts.decision:
        return []
    decision = facts.decision
    total, hours = len(facts.clips), float(decision.seconds.sum()) / 3600
    rows: list[dict[str, Any]] = [{"label": "clips cut", "count": total, "hours": hours, "lost": 0}]
    rows += [
        {"label": step.title, "count": step.left, "hours": step.left_hours, "lost": step.removed}
        for step in decision.funnel
        if step.removed
    ]
    kept = [clip for clip in facts.clips if is_kept(clip)]
    rows.append(row_of("kept by the policy", kept, 0))
    if facts.artefacts:
        made = [c for c in kept if facts.artefacts.get(c["clip_id"], {}).get("status") == "ok"]
        rows.append(row_of("encoded into shards", made, len(kept) - len(made)))
    for row in rows:
        row["share"] = f"{row['hours'] / hours:.4f}" if hours else "0"
    return rows


def row_of(label: str, clips: list[dict[str, Any]], lost: int) -> dict[str, Any]:
    """One line of the funnel."""
    hours = sum(clip["seconds"] for clip in clips) / 3600
    return {"label": label, "count": len(clips), "hours": hours, "lost": lost}


def histograms(facts: Facts) -> list[dict[str, Any]]:
    """Scores that the policy judges first, then the others that vary."""
    kept = [clip for clip in facts.clips if is_kept(clip)]
    dropped = [clip for clip in facts.clips if not is_kept(clip)]
    found = []
    for name in numeric_scores():
        inside, outside = numbers_of(kept, name), numbers_of(dropped, name)
        limits = limits_of(facts.recipe.policy, name)
        values = np.concatenate([inside, outside])
        if not len(values) or (not limits and values.max() - values.min() < 1e-9):
            continue
        found.append(
            {
                "name": name,
                "unit": ALL_SCORES[name].unit,
                "about": ALL_SCORES[name].about,
                "ruled": bool(limits),
                "missing": len(facts.clips) - len(values),
                "svg": charts.histogram(inside, outside, limits),
            }
        )
    return sorted(found, key=lambda item: not item["ruled"])


def refused(facts: Facts) -> dict[str, Any]:
    """Films that could not be used, and the reasons of dropped clips."""
    bad = [row for row in facts.sources if row["status"] != "ok"]
    rows = [
        {
            "name": clean(Path(row["path"]).name, 80),
            "id": row["source_id"] or "",
            "reason": row["reason"] or "",
            "detail": clean(row["detail"] or "", 200),
        }
        for row in bad
    ]
    reasons = Counter(
        c["verdict"]["reason"] for c in facts.clips if c["verdict"] and c["verdict"]["reason"]
    )
    failed = [row for row in facts.artefacts.values() if row["status"] == "failed"]
    return {
        "films": rows[:LISTED],
        "more": max(0, len(rows) - LISTED),
        "reasons": reasons.most_common(),
        "artefacts": failed[:LISTED],
    }


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
    return f"{value:g}" if isinstance(value, float) else str(value)


def training(facts: Facts) -> list[dict[str, Any]]:
    """Loss curves: all, by stream, by task, by noise level, held out."""
    steps = [line for line in facts.log if line["kind"] == "step"]
    held = [line for line in facts.log if line["kind"] == "validation"]
    if not steps:
        return []
    names = sorted({key for line in steps for key in line})
    levels = ("noisiest quarter", "second", "third", "cleanest quarter")
    wanted: list[tuple[str, list[dict[str, Any]], dict[str, str]]] = [
        ("Loss by stream", steps, {"loss": "both"} | tail_names(names, "loss/")),
        ("Held-out loss", held, {k: k for line in held for k in line if k.startswith("loss")}),
    ]
    for stream, what in (("video", "picture"), ("audio", "sound")):
        tasks = {k: k.split("/")[1] for k in names if k.startswith("task/") and k.endswith(stream)}
        noise = {
            k: levels[int(k.split("/")[1])]
            for k in names
            if k.startswith("level/") and k.endswith(stream)
        }
        wanted += [(f"Loss of {what} by task", steps, tasks)]
        wanted += [(f"Loss of {what} by noise level", steps, noise)]
    found = [
        {"title": title, "svg": charts.curves(series(lines, chosen), "steps")}
        for title, lines, chosen in wanted
        if chosen
    ]
    return [item for item in found if item["svg"]]


def tail_names(names: list[str], prefix: str) -> dict[str, str]:
    """Curves below a prefix by their last part."""
    return {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def series(lines: list[dict[str, Any]], chosen: dict[str, str]) -> charts.Series:
    """The x and y of each chosen curve, by its label."""
    found = {}
    for key, label in chosen.items():
        here = [line for line in lines if isinstance(line.get(key), int | float)]
        x = np.array([line["step"] for line in here], dtype=np.float64)
        y = np.array([line[key] for line in here], dtype=np.float64)
        found[label] = (x[np.isfinite(y)], y[np.isfinite(y)])
    return found


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
