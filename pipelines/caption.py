"""The caption pass: three variants for every clip of a scan, with their provenance.

It reads a few kilobytes a film, so it runs on threads here and not on the cluster.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field

from curation.caption import (
    SIDECAR_BYTES,
    Captions,
    choose,
    from_evidence,
    from_words,
    parse_sidecar,
)
from curation.files import fingerprint
from curation.progress import progress
from curation.records import Reason, RejectedError, Status
from curation.settings import Settings
from curation.sources import opened
from pipelines.ledger import Ledger, Row
from pipelines.tally import Tally
from pipelines.verdicts import scored_clips

VERSION = 1  # raised when the same settings and evidence give other words
THREADS = 16  # of reads that mostly wait

Origin = Literal["sidecar", "manifest", "evidence"]


class CaptionConfig(Settings):
    """Where captions come from."""

    prefer: tuple[Origin, ...] = Field(
        ("sidecar", "manifest", "evidence"),
        min_length=1,
        description="origins in order; the first that has words for a clip gives them",
    )

    def fingerprint(self) -> str:
        """Names the caption table of these settings."""
        return fingerprint({"version": VERSION, **self.model_dump(mode="json")})


def caption(config: CaptionConfig, ledger: Ledger, scan_fingerprint: str) -> Tally:
    """Write `scores/caption@<fingerprint>` for every clip of the scan.

    Everything is composed anew, and written only where it differs: a sidecar may have changed.
    """
    clips = sorted(scored_clips(ledger, scan_fingerprint), key=itemgetter("path", "start_s"))
    tally = Tally("caption", "clips", len(clips))
    words = {row["path"]: row["caption"] for row in ledger.rows("sources")}
    films = [(path, list(group)) for path, group in groupby(clips, key=itemgetter("path"))]
    rows = []
    with ThreadPoolExecutor(THREADS) as pool, progress("caption", len(clips), "clips") as advance:
        jobs = pool.map(
            lambda film: film_captions(config, film[0], film[1], words.get(film[0])), films
        )
        for found, trouble in jobs:
            rows += found
            advance(len(found))
            for row in found:
                missing = row["status"] != Status.OK
                tally.add(row.pop("status"), Reason.BAD_CAPTION if missing else trouble)
    name = f"scores/caption@{config.fingerprint()}"
    mine = {row["clip_id"] for row in rows}
    captions = [row for row in rows if row["provenance"]]
    ledger.replace(
        name, [row for row in ledger.rows(name) if row["clip_id"] not in mine] + captions
    )
    origins = [row["provenance"] for row in captions]
    tally.close(", ".join(f"{origins.count(o)} {o}" for o in config.prefer) + f"; {name}")
    return tally


def film_captions(
    config: CaptionConfig, path: str, clips: list[Row], manifest: str | None
) -> tuple[list[Row], Reason | None]:
    """Caption rows with a status for all clips of one film; and what was wrong with its sidecar."""
    trouble = None
    segments: list[Row] = []
    if "sidecar" in config.prefer:
        try:
            segments = read_sidecar(path)
        except RejectedError as error:
            trouble = error.reason
    rows = []
    for clip in clips:
        found = describe(config, clip, segments, manifest)
        row = {"clip_id": clip["clip_id"], "status": Status.OK if found else Status.FAILED}
        rows.append(row | (vars(found) if found else {"provenance": None}))
    return rows, trouble


def describe(
    config: CaptionConfig, clip: Row, segments: list[Row], manifest: str | None
) -> Captions | None:
    """The words of one clip from the first origin that has any."""
    for origin in config.prefer:
        found = None
        if origin == "sidecar" and (part := choose(segments, clip["start_s"], clip["end_s"])):
            found = from_words(part, origin)
        elif origin == "manifest" and manifest:
            found = from_words({"caption": manifest}, origin)
        elif origin == "evidence":
            found = from_evidence(clip)
        if found:
            return found
    return None


def sidecar_path(path: str) -> str:
    """`<stem>.captions.json` beside a film."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{PurePosixPath(name).stem}.captions.json"


def read_sidecar(path: str) -> list[Row]:
    """Segments of the film's sidecar, none without one. Raises RejectedError(bad_caption)."""
    try:
        with opened(sidecar_path(path)) as handle:
            data = handle.read(SIDECAR_BYTES + 1)
    except (OSError, ValueError):
        return []
    if len(data) > SIDECAR_BYTES:
        raise RejectedError(Reason.BAD_CAPTION, f"a sidecar of more than {SIDECAR_BYTES} bytes")
    return parse_sidecar(data)
