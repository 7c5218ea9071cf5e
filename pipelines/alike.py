"""Which clips show the same thing: semantic near-duplicates by the embeddings of a judge.

After SemDeDup (Abbas et al. 2023): cluster, then compare inside clusters, so a million clips cost a
few hundred thousand comparisons each and not a million. Below ONE_CLUSTER clips all are compared.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.files import fingerprint
from curation.judges.vectors import unpack
from pipelines.ledger import Ledger

VERSION = 1  # raised when the same embeddings give other neighbours
ONE_CLUSTER = 20_000  # clips; a comparison of all is 0.4 GFLOP a thousand at 1280 numbers
STEPS, SAMPLE = 10, 200_000  # of k-means: its centres need not see every clip
ROWS = 2_000  # compared at once: 160 MB of cosines
NEIGHBOUR = 0.95  # cosine from which the better clip is named

Floats = NDArray[np.float32]


def alike_table(embed: str, scan: str) -> str:
    """The ledger table of neighbours among a scan's clips by one table of embeddings."""
    return f"scores/alike@{fingerprint([VERSION, embed, scan])}"


def mark_alike(ledger: Ledger, embed: str, scan: str) -> None:
    """Write for every clip its highest cosine to a better one, and its name from NEIGHBOUR on.

    The larger picture is the better clip, between equals the lower id. Nothing is written without
    embeddings.
    """
    found = ledger.read(embed, ["embedding"])
    found = found.filter(found["embedding"].is_valid())
    clips = {r["clip_id"]: -r["width"] * r["height"] for r in ledger.clips(scan).to_pylist()}
    rows = [row for row in found.to_pylist() if row["clip_id"] in clips]
    if not rows:
        return
    rows.sort(key=lambda row: (clips[row["clip_id"]], row["clip_id"]))
    ids = [row["clip_id"] for row in rows]
    best, cosine = neighbours(unpack([row["embedding"] for row in rows]))
    named = [ids[b] if c >= NEIGHBOUR else None for b, c in zip(best, cosine, strict=True)]
    columns = {
        "clip_id": pa.array(ids),
        "alike": pa.array(cosine.astype(np.float64)),
        "alike_of": pa.array(named, pa.string()),
    }
    ledger.replace(alike_table(embed, scan), pa.table(columns))


def neighbours(vectors: Floats) -> tuple[NDArray[np.int64], Floats]:
    """For each unit vector [N,D] the nearest one before it and their cosine, [N] both.

    Where none comes before it in its cluster, itself and 0.
    """
    best, cosine = np.arange(len(vectors)), np.zeros(len(vectors), np.float32)
    for members in clusters(vectors):
        mine = vectors[members]
        for start in range(0, len(members), ROWS):
            rows = mine[start : start + ROWS]
            near = rows @ mine[: start + len(rows)].T
            # Only what comes before: above the diagonal lie clips that are worse.
            later = np.arange(near.shape[1])[None] >= (start + np.arange(len(rows)))[:, None]
            near[later] = -1.0
            place = near.argmax(axis=1)
            value = near[np.arange(len(rows)), place]
            have = value > 0
            who = members[start : start + len(rows)][have]
            best[who], cosine[who] = members[place[have]], np.minimum(value[have], 1.0)
    return best, cosine


def clusters(vectors: Floats) -> list[NDArray[np.int64]]:
    """Rows of each cluster in order, by spherical k-means from a fixed start."""
    count = -(-len(vectors) // ONE_CLUSTER)
    if count <= 1:
        return [np.arange(len(vectors))]
    rng = np.random.default_rng(0)
    sample = vectors[np.sort(rng.permutation(len(vectors))[:SAMPLE])]
    centres = sample[np.sort(rng.permutation(len(sample))[:count])]
    for _ in range(STEPS):
        place = nearest(sample, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, place, sample)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.maximum(length, 1e-9), centres)
    place = nearest(vectors, centres)
    return [np.flatnonzero(place == number) for number in range(count)]


def nearest(vectors: Floats, centres: Floats) -> NDArray[np.int64]:
    """The centre of each vector [N]."""
    parts = [
        (vectors[i : i + ROWS] @ centres.T).argmax(axis=1) for i in range(0, len(vectors), ROWS)
    ]
    return np.concatenate(parts)
