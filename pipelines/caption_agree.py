"""Score captions against their clips, after the caption pass: one row a caption that says anything.

What is compared is in the ledger already (captions, embeddings, names of things and sounds), so no
film is opened. Scoring is on Ray: a million captions are half a day of one core.
"""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.assets import MissingModelError
from curation.captions.agreement import Scorer, told
from curation.files import fingerprint
from curation.film import rounded
from curation.judges.config import ClipModel, JudgeConfig
from curation.judges.models import PACKAGES, provide
from curation.progress import progress, say
from pipelines.batches import committed
from pipelines.ledger import Ledger, Row

VERSION = 1  # raised when the same words and evidence give another score
BATCH = 64
EVIDENCE = ("embedding", "tags", "events")


def agreement_table(captions: str, judge: JudgeConfig) -> str | None:
    """The ledger table of a recipe's scores; None without a judge to compare captions with."""
    tables = [t for name, t in judge.tables().items() if name in ("embed", "events")]
    if not tables:
        return None
    return f"scores/agreement@{fingerprint([VERSION, captions, tables, PACKAGES['agree']])}"


def agree(ledger: Ledger, captions: str, judge: JudgeConfig) -> None:
    """Score what is new of the table `captions`; words or evidence that changed are scored anew.

    A clip whose caption or judges say nothing has no row, which reads as null. Without the scorer's
    model nothing is scored, and that is said.
    """
    table = agreement_table(captions, judge)
    if table is None:
        return
    judged: dict[str, Row] = {}
    for name, source in judge.tables().items():
        if name in ("embed", "events"):
            for row in ledger.read(source, EVIDENCE).to_pylist():
                judged.setdefault(row["clip_id"], {}).update(row)
    asked = {}
    for caption in ledger.rows(captions):
        evidence = judged.get(caption["clip_id"])
        if evidence and any(words := told(caption)):
            pair = {"caption": caption, "judged": evidence}
            asked[caption["clip_id"]] = pair | {"asked": fingerprint([words, evidence])}
    known = {row["clip_id"]: row["asked"] for row in ledger.rows(table)}
    gone = known.keys() - asked.keys()
    if gone:
        ledger.replace(table, [row for row in ledger.rows(table) if row["clip_id"] not in gone])
    missing = [pair for clip, pair in asked.items() if known.get(clip) != pair["asked"]]
    if not missing:
        return
    if lacks := wanting(judge.clip):
        say(f"caption: agreement is not scored: {lacks}")
        return
    with progress("agree", len(missing), "captions") as advance:
        for _ in committed(
            scored(missing, judge.clip),
            lambda some: ledger.append(table, [row for rows in some for row in rows]),
            lambda rows: advance(len(rows)),
        ):
            pass
    ledger.compact(table)


def wanting(clip: ClipModel) -> str:
    """What the scorer lacks on this machine; empty when nothing."""
    try:
        provide("agree")
    except MissingModelError as error:
        return str(error)
    if clip.name and importlib.util.find_spec("open_clip") is None:
        return "open_clip: uv pip install -e '.[clip]'"
    if clip.name and not Path(clip.weights).is_file():
        return f"judge.clip.weights: there is no file {clip.weights!r}"
    return ""


def scored(pairs: list[Row], clip: ClipModel) -> Iterator[list[Row]]:
    """Rows of the pairs, batch by batch, from Ray's workers."""
    import ray.data  # noqa: PLC0415 - a rerun need not pay

    from pipelines import cluster  # noqa: PLC0415
    from pipelines.measure import MOST_BLOCKS, pool, quiet_ray_data  # noqa: PLC0415

    cluster.start()
    quiet_ray_data()
    tasks = [json.dumps(pairs[at : at + BATCH]) for at in range(0, len(pairs), BATCH)]
    data = ray.data.from_items(
        [{"task": task} for task in tasks], override_num_blocks=min(len(tasks), MOST_BLOCKS)
    )
    done = data.map_batches(
        Agreeing,
        fn_constructor_args=(clip.model_dump(mode="json"),),
        batch_size=1,
        num_cpus=1,
        compute=pool(0, len(tasks)),
    )
    for row in done.iter_rows():
        yield json.loads(row["rows"])


class Agreeing:
    """One actor: a scorer with its models."""

    def __init__(self, clip: dict[str, Any]) -> None:
        self._scorer = Scorer(ClipModel(**clip))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Rows of the pairs of each task, as JSON."""
        return {"rows": [json.dumps(self.rows(json.loads(task))) for task in batch["task"]]}

    def rows(self, pairs: list[Row]) -> list[Row]:
        """A row a pair."""
        return [
            {"clip_id": pair["caption"]["clip_id"], "asked": pair["asked"]}
            | rounded(self._scorer(pair["caption"], pair["judged"]))
            for pair in pairs
        ]
