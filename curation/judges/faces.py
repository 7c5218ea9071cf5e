"""The judge of faces: how many, how large, and whether one could be the speaker."""

from typing import Any

import numpy as np

from curation.judges.evidence import Evidence


def judge(evidence: Evidence) -> dict[str, Any]:
    """Columns of `faces`."""
    frames = evidence.faces
    height, width = evidence.seen.pixels.shape[1:3]
    row: dict[str, Any] = {
        "faces": float(max(map(len, frames))),
        "face_share": float(np.mean([bool(found) for found in frames])),
        "face_tracks": float(sum(len(track.frames) >= 2 for track in evidence.tracks)),
        "talking_face": float(evidence.speaker is not None),
    }
    main = evidence.speaker or (evidence.tracks[0] if evidence.tracks else None)
    if main is None:
        return row | {"face_area": 0.0}
    left, top, right, bottom = np.median([face.box for face in main.faces], axis=0)
    box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    return row | {
        "face_area": float(np.median([face.area for face in main.faces])) / (height * width),
        "face_box": " ".join(f"{value:.3f}" for value in box),
    }
