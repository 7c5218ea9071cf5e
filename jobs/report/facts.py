"""What the report is about, read from the ledger, the shards, the log and the clips of a run.

Every part may be missing: a report after the scan alone shows the scan.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.config import Recipe
from jobs.training.log import read as read_log
from pipelines.contract import find_set, read_contract
from pipelines.ledger import Ledger, Row
from pipelines.policy import ALL_SCORES, Policy, is_text
from pipelines.verdicts import Decision, judge, scored_table, verdict_fingerprint

MAX_CLIP_JSON = 1 << 20


@dataclass(frozen=True)
class Generated:
    """One generated clip: the mp4 and what its clip.json says."""

    path: Path
    card: dict[str, Any]

    @property
    def weights(self) -> str:
        """Which weights made it."""
        return str(self.card.get("request", {}).get("weights", ""))


@dataclass(frozen=True)
class Facts:
    """Everything the page tells, before anything is drawn."""

    recipe: Recipe
    sources: list[Row] = field(default_factory=list)
    clips: list[Row] = field(default_factory=list)  # with facts, scores, captions and verdict
    decision: Decision | None = None
    artefacts: dict[str, Row] = field(default_factory=dict)  # by clip_id
    contract: dict[str, Any] | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    generated: list[Generated] = field(default_factory=list)


def gather(recipe: Recipe) -> Facts:
    """Read what there is of the recipe's run."""
    ledger = Ledger(recipe.data.ledger)
    scan = recipe.scan.fingerprint()
    sources = [row for row in ledger.rows("sources") if row["fingerprint"] == scan]
    table = scored_table(ledger, scan, recipe.score_tables)
    clips: list[Row] = table.to_pylist()
    captions = ledger.rows(f"scores/caption@{recipe.caption.fingerprint()}")
    told = {row["clip_id"]: row for row in captions}
    policy = recipe.policy.phase(recipe.encode.phase)
    decision = judge(policy, table) if clips else None
    name = verdict_fingerprint(policy, scan, recipe.score_tables)
    verdicts = {row["clip_id"]: row for row in ledger.rows(f"verdicts/{name}")}
    for clip in clips:
        clip |= {"caption": told.get(clip["clip_id"]), "verdict": verdicts.get(clip["clip_id"])}
    made = newest(recipe.data.ledger / "artefacts")
    artefacts = {r["clip_id"]: r for r in ledger.rows(f"artefacts/{made}")} if made else {}
    return Facts(
        recipe=recipe,
        sources=sources,
        clips=clips,
        decision=decision,
        artefacts=artefacts,
        contract=contract_of(recipe),
        log=read_log(recipe.out / "metrics.jsonl"),
        generated=generated_clips(recipe.out / "clips"),
    )


def newest(folder: Path) -> str:
    """The name of the table that was written last, or ''."""
    tables = [path for path in folder.glob("*") if path.is_dir()]
    return max(tables, key=lambda path: path.stat().st_mtime_ns).name if tables else ""


def contract_of(recipe: Recipe) -> dict[str, Any] | None:
    """The contract of the newest whole shard set; None before there is one."""
    try:
        return read_contract(find_set(recipe.data))
    except ValueError:
        return None


def generated_clips(folder: Path) -> list[Generated]:
    """The clips of the checkpoint that was used last, by name; each has its json beside it."""
    found: list[tuple[int, Generated]] = []
    for path in sorted(folder.glob("*.mp4")):
        card = path.with_suffix(".json")
        if card.is_file() and card.stat().st_size <= MAX_CLIP_JSON:
            clip = Generated(path, json.loads(card.read_text()))
            found.append((card.stat().st_mtime_ns, clip))
    if not found:
        return []
    _, latest = max(found, key=lambda pair: pair[0])
    return [clip for _, clip in found if clip.weights == latest.weights]


def is_kept(clip: Row) -> bool:
    """Whether the verdict of a clip is to keep it."""
    return bool(clip["verdict"] and clip["verdict"]["status"] == "ok")


def numbers_of(clips: list[Row], score: str) -> NDArray[np.float64]:
    """The values of a score that are there."""
    values = [clip.get(score) for clip in clips]
    return np.array([v for v in values if v is not None and np.isfinite(v)], dtype=np.float64)


def limits_of(policy: Policy, score: str) -> list[float]:
    """Thresholds that the policy sets on a score."""
    checks = [c for rule in policy.rules for c in rule.leaves() if c.score == score]
    return [limit for check in checks for limit in (check.min, check.max) if limit is not None]


def numeric_scores() -> list[str]:
    """Scores that can be drawn."""
    return [name for name, score in ALL_SCORES.items() if not score.text]


def margin(policy: Policy, clips: list[Row]) -> NDArray[np.float64]:
    """Distance of each clip to its nearest threshold, in spreads of that score; inf without."""
    nearest = np.full(len(clips), np.inf)
    asked = {check.score for rule in policy.rules for check in rule.leaves()}
    for name in sorted(asked):
        if is_text(name):
            continue
        values = [clip.get(name) for clip in clips]
        have = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        spread = float(np.nanstd(have)) if np.isfinite(have).any() else 0.0
        for limit in limits_of(policy, name) if spread > 0 else []:
            away = np.abs(have - limit) / spread
            nearest = np.fmin(nearest, np.where(np.isnan(away), np.inf, away))
    return nearest
