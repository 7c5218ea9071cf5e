"""Make films whose truth is known: a small physical world with exact sound.

Each film is an mp4 (H.264 and AAC) with `<name>.captions.json` (short, long and structured captions
a shot) and `<name>.truth.json` (objects, events to the sample, camera, planted defects) beside it,
in `<out>/films`. The same settings and seed give the same bytes; a rerun writes what is missing.
"""

import json
import os
from collections import Counter
from pathlib import Path

from curation.progress import say
from curation.world.films import write_films
from jobs.cli import DONE, main_verb
from jobs.config import Recipe

SECTIONS = ("world",)


def run(recipe: Recipe, words: list[str]) -> int:  # noqa: ARG001 - every verb takes its words
    """Write the films to `<out>/films` and say what they hold."""
    folder = recipe.out / "films"
    paths = write_films(recipe.world, folder, workers=os.cpu_count() or 1)
    say(summary(paths, folder))
    return DONE


def summary(paths: list[Path], folder: Path) -> str:
    """What was made, from the truth beside the films."""
    truths = [json.loads(path.with_suffix(".truth.json").read_text()) for path in paths]
    seconds = sum(truth["seconds"] for truth in truths)
    kinds = Counter(event["kind"] for truth in truths for event in truth["events"])
    planted = Counter(defect["kind"] for truth in truths for defect in truth["defects"])
    spoken = sum(truth["speech"] is not None for truth in truths)
    music = sum(truth["music"] is not None for truth in truths)
    shots = sum(len(truth["shots"]) for truth in truths)
    lines = [
        f"{len(paths)} films, {seconds:.0f} s, in {folder}",
        "  events: " + (", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "none"),
        f"  shots: {shots}, with a narrator: {spoken}, with music: {music}",
        "  defects: " + (", ".join(f"{n} {kind}" for kind, n in sorted(planted.items())) or "none"),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main_verb("world"))
