"""What the report is about, read from the ledger, the shards, the log and the clips of a run.

Clips stay columns, so that a million of them are one table; only those that are shown become rows.
Every part may be missing: a report after the scan alone shows the scan.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.captions.questions import ASK
from jobs.config import Recipe
from jobs.failures import letters_of
from jobs.training.log import LOG
from jobs.training.log import read as read_log
from pipelines.contract import find_set, read_contract
from pipelines.dead_letters import DeadLetter, current_set
from pipelines.ledger import Ledger, Row
from pipelines.policy import ALL_SCORES
from pipelines.policy_diff import CLASS, classes
from pipelines.tally import read_passes
from pipelines.verdicts import Decision, asked, judge, scored_table, verdict_fingerprint

MAX_CLIP_JSON = 1 << 20
NAMES = (CLASS, "language", "tags")  # texts of all clips that the page counts
LONG = ("embedding", "sound_marks", "phash", "face_box")  # texts that nobody reads
NUMERIC = tuple(name for name, score in ALL_SCORES.items() if not score.text)
TEXTS = tuple(name for name, score in ALL_SCORES.items() if score.text and name not in LONG)

Flags = NDArray[np.bool_]


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
    """Everything the page tells, before anything is drawn.

    `clips` has a row a clip with facts, numbers and short names; `decision` is what the recipe's
    policy says of them now, whether or not `reelmill decide` has `written` it.
    """

    recipe: Recipe
    sources: list[Row] = field(default_factory=list)
    clips: pa.Table = field(default_factory=lambda: pa.table({}))
    decision: Decision | None = None
    phases: dict[str, Decision] = field(default_factory=dict)
    written: bool = True
    captions: pa.Table = field(default_factory=lambda: pa.table({}))
    artefacts: pa.Table = field(default_factory=lambda: pa.table({}))
    round_trips: list[Row] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    passes: list[dict[str, Any]] = field(default_factory=list)
    contract: dict[str, Any] | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    generated: list[Generated] = field(default_factory=list)

    @property
    def kept(self) -> Flags:
        """Which clips the policy keeps [clips]."""
        return self.decision.kept if self.decision else np.zeros(self.clips.num_rows, dtype=bool)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Length of each clip [clips]."""
        return self.decision.seconds if self.decision else np.zeros(0)

    @property
    def classes(self) -> NDArray[np.object_]:
        """The class of each clip's sound [clips]."""
        return classes(self.clips)

    def rows(self, picked: Sequence[int] | NDArray[np.int64]) -> list[Row]:
        """Clips by their place in `clips`, with all that the ledger knows of them."""
        table = self.clips.take(pa.array(picked, pa.int64()))
        rows: list[Row] = table.to_pylist()
        assert self.decision is not None, "clips are picked by their verdicts"
        verdicts = self.decision.verdicts.take(pa.array(picked, pa.int64())).to_pylist()
        for row, verdict in zip(rows, verdicts, strict=True):
            row["verdict"] = verdict
        ledger, by_id = Ledger(self.recipe.data.ledger), {row["clip_id"]: row for row in rows}
        ids = pa.array(list(by_id), pa.string())
        tables = [f"scores/scan@{self.recipe.scan.fingerprint()}", *self.recipe.score_tables]
        for name in tables:
            for more in here(ledger.read(name, TEXTS), ids):
                known = {k: v for k, v in more.items() if k in TEXTS}
                by_id[more["clip_id"]].update(known)
        told = {row["clip_id"]: row for row in here(self.captions, ids)}
        made = {row["clip_id"]: row for row in here(self.artefacts, ids)}
        for row in rows:
            row |= {"caption": told.get(row["clip_id"]), "artefact": made.get(row["clip_id"])}
        return rows


def here(table: pa.Table, ids: pa.Array) -> list[Row]:
    """The rows of these clips."""
    if not table.num_rows:
        return []
    rows: list[Row] = table.filter(pc.is_in(table["clip_id"], value_set=ids)).to_pylist()
    return rows


def gather(recipe: Recipe) -> Facts:
    """Read what there is of the recipe's run. Raises ValueError for a policy that cannot judge."""
    ledger = Ledger(recipe.data.ledger)
    scan = recipe.scan.fingerprint()
    sources = ledger.read("sources")
    sources = sources.filter(pc.equal(sources["fingerprint"], scan))
    policy = recipe.policy.phase(recipe.encode.phase)
    others = {p: recipe.policy.phase(p) for p in ("", *recipe.policy.phases)}
    del others[recipe.encode.phase]
    names = {*NUMERIC, *NAMES, *(f"{ASK}{name}" for name in recipe.ask.questions)}
    names |= {name for one in (policy, *others.values()) for name in asked(one)}
    clips = scored_table(ledger, scan, recipe.score_tables, names)
    decision = judge(policy, clips) if clips.num_rows else None
    written = ledger.read(f"verdicts/{verdict_fingerprint(policy, scan, recipe.score_tables)}")
    return Facts(
        recipe=recipe,
        sources=sources.to_pylist(),
        clips=clips,
        decision=decision,
        phases={p or "the policy": judge(o, clips) for p, o in others.items()} if decision else {},
        written=not decision or written["status"].equals(decision.verdicts["status"]),
        captions=ledger.read(f"scores/caption@{recipe.caption.fingerprint()}"),
        artefacts=artefacts(recipe, ledger),
        round_trips=round_trips(recipe, ledger),
        letters=letters_of(recipe),
        passes=read_passes(recipe.data.metrics),
        contract=contract_of(recipe),
        log=read_log(recipe.out / LOG),
        generated=generated_clips(recipe.out / "clips"),
    )


def artefacts(recipe: Recipe, ledger: Ledger) -> pa.Table:
    """What became of the clips of the last finished encode pass."""
    made = current_set(recipe.data)
    return ledger.read(f"artefacts/{made}") if made else pa.table({})


def round_trips(recipe: Recipe, ledger: Ledger) -> list[Row]:
    """What that pass measured when it decoded a few of its clips again."""
    made = current_set(recipe.data)
    return ledger.rows(f"roundtrips/{made}") if made else []


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
