"""The judge of text: how much of the picture it covers, what it says, and what never goes away."""

from difflib import SequenceMatcher
from typing import Any

import numpy as np

from curation.judges.evidence import Evidence
from curation.judges.face_net import overlap
from curation.judges.text_net import Line
from curation.records import clean

MOST_CHARS = 1_000  # of what is kept: text from media is data, and a clip of it is enough
SAME_PLACE, SAME_WORDS = 0.5, 0.8


def judge(evidence: Evidence) -> dict[str, Any]:
    """Columns of `text`. A still scene's own text cannot be told from an overlay."""
    height, width = evidence.seen.pixels.shape[1:3]
    stills = [evidence.tools.text(picture) for picture in evidence.stills]
    steady = [line for line in stills[0] if all(find(line, other) for other in stills[1:])]
    return {
        "text_area": float(np.mean([covered(lines) for lines in stills])) / (height * width),
        "text_lines": float(max(map(len, stills))),
        "text": words([line for lines in stills for line in lines]),
        "overlay_area": covered(steady) / (height * width),
        "overlay_text": words(steady),
    }


def covered(lines: list[Line]) -> float:
    """Square pixels under text."""
    return sum(line.area for line in lines)


def find(line: Line, others: list[Line]) -> Line | None:
    """The line among `others` that stands in the same place and says the same."""
    for other in others:
        if overlap(line.box, other.box) >= SAME_PLACE:
            likeness = SequenceMatcher(None, line.text.lower(), other.text.lower()).ratio()
            if likeness >= SAME_WORDS:
                return other
    return None


def words(lines: list[Line]) -> str | None:
    """Each line once, in reading order, as one printable line; None without any."""
    texts = dict.fromkeys(clean(line.text, MOST_CHARS).replace("|", "/") for line in lines)
    return clean(" | ".join(texts), MOST_CHARS) or None
