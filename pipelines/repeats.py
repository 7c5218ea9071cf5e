"""Which clips repeat each other, in picture or in sound, over a whole scan."""

import numpy as np
import pyarrow as pa

from curation.likeness import find_repeats
from curation.sound_marks import same_sounds
from pipelines.ledger import Ledger

FLAT = 0.01  # contrast below which a picture's hash is noise


def mark_repeats(ledger: Ledger, scan: str) -> None:
    """Write `duplicate_of` and `sound_of` for all clips of a scan.

    Of clips that repeat each other the one with the larger picture is the original, between equals
    the lower id.
    """
    table = f"scores/scan@{scan}"
    scores = ledger.read(table)
    if not scores.num_rows:
        return
    clips = {row["clip_id"]: row for row in ledger.clips(scan).to_pylist()}
    ids = scores["clip_id"].to_pylist()
    hashes = [
        h if contrast and contrast > FLAT else None
        for h, contrast in zip(
            scores["phash"].to_pylist(), scores["contrast"].to_pylist(), strict=True
        )
    ]
    rank = [(-clips[i]["width"] * clips[i]["height"], i) if i in clips else (0, i) for i in ids]
    levels = np.array([scores[c].to_pylist() for c in ("brightness", "contrast")], float).T
    for column, repeats in (
        ("duplicate_of", find_repeats(hashes, levels, rank)),
        ("sound_of", same_sounds(scores["sound_marks"].to_pylist(), rank)),
    ):
        named = [ids[repeats[i]] if i in repeats else None for i in range(len(ids))]
        place = scores.schema.get_field_index(column)
        scores = scores.set_column(place, column, pa.array(named, pa.string()))
    ledger.replace(table, scores)
