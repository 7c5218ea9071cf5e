"""The caption pass: three variants for every kept clip, with status and provenance.

Sidecars, manifests and evidence are a few kilobytes a film and are read on threads here. A model's
answers are dear: caption_ask.py keeps them in a ledger table of their own, so that words can be
composed anew, in another order of origins or with a better transcript, without asking again.
"""

import json
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter

from curation.captions.answer import CaptionStatus
from curation.captions.description import Description, render
from curation.captions.weave import told_by_evidence, weave
from curation.captions.words import (
    MEASURED,
    SIDECAR_BYTES,
    Captions,
    choose,
    from_words,
    parse_sidecar,
)
from curation.media import Limits
from curation.progress import progress
from curation.records import Reason, RejectedError, Status
from curation.sources import beside, opened
from pipelines.caption_ask import TOLD, answers, scanned_files
from pipelines.caption_config import CaptionConfig, Origin
from pipelines.caption_rewrite import rewrite
from pipelines.ledger import Ledger, Row
from pipelines.tally import Tally
from pipelines.verdicts import scored_table

THREADS = 16  # of reads that mostly wait
READ = {*MEASURED, *TOLD}  # scores that captions are made from


@dataclass(frozen=True)
class Film:
    """Words about one film that lie beside it."""

    segments: list[Row]
    manifest: str | None
    trouble: Reason | None  # with its sidecar


def caption(
    config: CaptionConfig,
    ledger: Ledger,
    scan_fingerprint: str,
    tables: Sequence[str] = (),
    limits: Limits | None = None,
    verdicts: Sequence[str] | None = None,
    replay: Collection[str] = (),
) -> Tally:
    """Write `scores/caption@<fingerprint>` for the clips that one of `verdicts` keeps.

    `tables` are score tables with transcripts, text and sound classes, `verdicts` those of a policy
    and its phases; with None all clips of the scan are captioned. Everything is composed anew, and
    written only where it differs: a sidecar may have changed. What is not captioned now keeps the
    words that it has. With `replay` a model is asked only about clips where it failed for these
    reasons. Raises ServerError when a model is wanted and cannot be asked.
    """
    clips = scored_table(ledger, scan_fingerprint, tables, READ).to_pylist()
    clips.sort(key=itemgetter("path", "start_s"))
    tally = Tally("caption", "clips", len(clips))
    if verdicts is not None:
        clips = kept(clips, ledger, verdicts, tally)
    files = scanned_files(ledger, scan_fingerprint)
    films = read_films(config, {c["path"]: files.get(c["path"], {}).get("caption") for c in clips})
    told: dict[str, Row] = {}
    if "llm" in config.prefer:
        earlier = config.prefer[: config.prefer.index("llm")]
        asked = [c for c in clips if not from_origins(earlier, c, films[c["path"]])]
        told = answers(config.llm, ledger, asked, files, limits or Limits(), replay)
    rows = []
    for clip in clips:
        film, answer = films[clip["path"]], told.get(clip["clip_id"])
        rows.append(compose(config, clip, film, answer))
    if config.rewrite:
        rewrite(config.rewrite, ledger, clips, rows, files, limits or Limits(), replay)
    for clip, row in zip(clips, rows, strict=True):
        film, answer = films[clip["path"]], told.get(clip["clip_id"])
        if not row["provenance"]:
            tally.add(Status.FAILED, Reason.BAD_CAPTION)
        elif answer and answer["status"] != CaptionStatus.OK:
            tally.add(Status.OK, f"model: {answer['status']}")
        else:
            tally.add(Status.OK, film.trouble)
    captions = [row for row in rows if row["provenance"]]
    name = f"scores/caption@{config.fingerprint()}"
    done = {row["clip_id"] for row in rows}
    ledger.replace(
        name, [row for row in ledger.rows(name) if row["clip_id"] not in done] + captions
    )
    origins = [row["provenance"] for row in captions]
    tally.close(", ".join(f"{origins.count(o)} {o}" for o in config.prefer) + f"; {name}")
    return tally


def kept(clips: list[Row], ledger: Ledger, verdicts: Sequence[str], tally: Tally) -> list[Row]:
    """The clips that any of the verdict tables keeps; the others are counted in `tally`.

    A clip without a verdict (its film was scanned after the last `decide`) is skipped.
    """
    found: dict[str, bool] = {}  # clip_id -> whether some table keeps it
    for table in verdicts:
        rows = ledger.read(table, ("status",))
        for clip, status in zip(*(rows[n].to_pylist() for n in ("clip_id", "status")), strict=True):
            found[clip] = found.get(clip, False) or status == Status.OK
    for clip in clips:
        if (keep := found.get(clip["clip_id"])) is None:
            tally.add(Status.SKIPPED, "no verdict")
        elif not keep:
            tally.add(Status.FILTERED, Reason.POLICY)
    return [clip for clip in clips if found.get(clip["clip_id"])]


def read_films(config: CaptionConfig, words: dict[str, str | None]) -> dict[str, Film]:
    """What lies beside each film: segments of its sidecar, and its manifest's `words` by path."""

    def read(path: str) -> Film:
        if "sidecar" not in config.prefer:
            return Film([], words[path], None)
        try:
            return Film(read_sidecar(path), words[path], None)
        except RejectedError as error:
            return Film([], words[path], error.reason)

    with ThreadPoolExecutor(THREADS) as pool, progress("caption", len(words), "films") as advance:
        films = {}
        for path, film in zip(words, pool.map(read, words), strict=True):
            films[path] = film
            advance()
    return films


def compose(config: CaptionConfig, clip: Row, film: Film, answer: Row | None) -> Row:
    """The caption row of one clip: words of the first origin that has any, and what the model did.

    The row's `provenance` is null when no origin has words.
    """
    row: Row = {"clip_id": clip["clip_id"], "provenance": None, "status": CaptionStatus.OK}
    if answer:
        row |= {"status": answer["status"], "detail": answer["detail"]}
    for origin in config.prefer:
        found: Captions | None
        if origin == "evidence":
            found, sources = told_by_evidence(clip)
        elif origin != "llm":
            found = from_origins((origin,), clip, film)
            sources = dict.fromkeys(("short", "long", "structured"), str(origin))
        elif answer and answer["record"]:
            told, sources = weave(
                Description(**json.loads(answer["record"])), clip, answer["teller"]
            )
            found = render(told, origin)
            row["record"] = told.model_dump_json()
        else:
            found = None
        if found:
            return row | vars(found) | {"sources": json.dumps(sources, sort_keys=True)}
    return row


def from_origins(origins: Sequence[Origin], clip: Row, film: Film) -> Captions | None:
    """The words of one clip from the first of the cheap origins that has any."""
    for origin in origins:
        found = None
        if origin == "sidecar" and (part := choose(film.segments, clip["start_s"], clip["end_s"])):
            found = from_words(part, origin)
        elif origin == "manifest" and film.manifest:
            found = from_words({"caption": film.manifest}, origin)
        elif origin == "evidence":
            found, _ = told_by_evidence(clip)
        if found:
            return found
    return None


def read_sidecar(path: str) -> list[Row]:
    """Segments of the film's sidecar, none without one. Raises RejectedError(bad_caption)."""
    try:
        with opened(beside(path, ".captions.json")) as handle:
            data = handle.read(SIDECAR_BYTES + 1)
    except (OSError, ValueError):
        return []
    if len(data) > SIDECAR_BYTES:
        raise RejectedError(Reason.BAD_CAPTION, f"a sidecar of more than {SIDECAR_BYTES} bytes")
    return parse_sidecar(data)
