"""The judges of stills: safety, looks, and what is to be seen."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.judges.evidence import Evidence
from curation.judges.quality import colourfulness, detail
from curation.judges.vectors import cosine, pack

NSFW_SIDE, NSFW_CROP = 256, 224
NSFW_MEAN = np.array([104, 117, 123], np.float32)  # blue, green, red: Caffe's ImageNet mean


def safety(evidence: Evidence) -> dict[str, Any]:
    """Columns of `safety`: the worst still decides."""
    scores = [
        float(evidence.tools.nsfw(nsfw_input(picture))[0].reshape(-1)[1])
        for picture in evidence.stills
    ]
    return {"nsfw": max(scores)}


def nsfw_input(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What open_nsfw was trained on: 256x256, the middle 224, blue first; [1,224,224,3]."""
    scaled = cv2.resize(picture, (NSFW_SIDE, NSFW_SIDE), interpolation=cv2.INTER_AREA)
    edge = (NSFW_SIDE - NSFW_CROP) // 2
    middle = scaled[edge : edge + NSFW_CROP, edge : edge + NSFW_CROP, ::-1]
    return (middle.astype(np.float32) - NSFW_MEAN)[None]


def looks(evidence: Evidence) -> dict[str, Any]:
    """Columns of `looks`: technical quality; the aesthetic score only with its own files."""
    stills = evidence.stills
    clip = evidence.tools.clip
    return {
        "brisque": float(np.median([evidence.tools.brisque.score(p) for p in stills])),
        "fine_detail": float(np.median([detail(p) for p in stills])),
        "colourfulness": float(np.median([colourfulness(p) for p in stills])),
        "aesthetic": clip.aesthetic(stills) if clip else None,
    }


def embed(evidence: Evidence) -> dict[str, Any]:
    """Columns of `embed`: with open_clip where the recipe names one, else EfficientNet-Lite0."""
    clip = evidence.tools.clip
    seen = clip(evidence.stills) if clip else evidence.things
    best = seen.best(5)
    return {
        "embedding": pack(seen.vector),
        "tags": ", ".join(f"{name} {probability:.2f}" for name, probability in best),
        "tag_confidence": best[0][1],
        "steadiness": max(0.0, cosine(seen.features[0], seen.features[-1])),
    }
