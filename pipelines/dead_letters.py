"""What failed, in every pass of a data set, from the rows that the passes left."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from pipelines.ledger import Ledger, Row
from pipelines.retry import dead
from pipelines.storage import DataRoot

PASSES = ("speech", "scan", "judge", "ask", "caption", "encode")  # in the order of the route


@dataclass(frozen=True)
class Tables:
    """The ledger's tables of one recipe; None or nothing where the recipe has no such pass."""

    scan: str  # fingerprint
    words: str | None = None
    judges: dict[str, str] | None = None
    asked: str | None = None  # answers to the questions of the recipe
    captions: str | None = None  # a model's answers that captions are made of
    rewrites: str | None = None  # and those of the second pass


@dataclass(frozen=True)
class DeadLetter:
    """An input that failed. `attempts` is None in rows older than the count, and where nobody was
    there to try.
    """

    step: str  # the pass
    of: str  # its judge, for judgements
    id: str  # clip_id; source_id of a film, empty where it could not be read
    path: str
    reason: str
    attempts: int | None
    detail: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is about, whatever its reason."""
        film = self.step in ("speech", "scan")  # what cannot be read has no id
        return self.step, self.of, self.path if film else self.id


def dead_letters(root: DataRoot, tables: Tables) -> list[DeadLetter]:
    """All that failed and has not succeeded since, in the order of the route, by reason."""
    ledger = Ledger(root.ledger)
    clips = ledger.clips(tables.scan).select(["clip_id", "path"])
    paths = dict(zip(*(clips[c].to_pylist() for c in ("clip_id", "path")), strict=True))
    found = [
        DeadLetter(
            step,
            of,
            row.get("clip_id") or row.get("source_id") or "",
            row.get("path") or paths.get(row.get("clip_id"), ""),
            row["reason"],
            row["attempts"],
            row["detail"] or "",
        )
        for step, of, row in failed_rows(root, ledger, tables)
        if "clip_id" not in row or row["clip_id"] in paths
    ]
    return sorted(found, key=lambda d: (PASSES.index(d.step), d.of, d.reason, d.path, d.id))


def failed_rows(root: DataRoot, ledger: Ledger, tables: Tables) -> Iterator[tuple[str, str, Row]]:
    """(pass, judge, row) of dead letters, also of clips that other scans have cut."""
    sources = ledger.read("sources", ["source_id", "status", "reason", "detail", "attempts"])
    sources = sources.filter(pc.equal(sources["fingerprint"], tables.scan))
    named = [("scan", "", sources)]
    names = ["source_id", "status", "reason", "detail", "attempts"]
    if tables.words:
        named.append(("speech", "", ledger.read(tables.words, names)))
    for judge, table in (tables.judges or {}).items():
        named.append(("judge", judge, ledger.read(table, names)))
    asked = ("ask", "", tables.asked), ("caption", "", tables.captions)
    for step, of, answers in (*asked, ("caption", "rewrite", tables.rewrites)):
        if answers:
            named.append((step, of, ledger.read(answers, names)))
    if current := current_set(root):
        named.append(("encode", "", ledger.read(f"artefacts/{current}", names)))
    for step, of, table in named:
        refused = table.filter(pc.is_valid(table["reason"]))
        yield from ((step, of, row) for row in refused.to_pylist() if dead(row))


def current_set(root: DataRoot) -> str:
    """The shard set of the last finished encode pass; '' before there is one."""
    from pipelines.contract import find_set  # noqa: PLC0415 - torch, which no other pass needs here

    try:
        return find_set(root).name
    except ValueError:
        return ""
