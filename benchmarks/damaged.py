"""Can `reelmill evaluate` tell real films from the same films damaged: every metric, every damage.

`python -m benchmarks.damaged [--clips 16] [--seconds 4] [--out FOLDER]` takes clips of the sample
films (jobs/samples.py), damages them in known ways and prints a table in Markdown. A cell is what
`reelmill evaluate recipe.yaml FOLDER/real FOLDER/DAMAGE --reference FOLDER/real` says: the mean
difference over pairs with its 95 % interval, of a set its distance to the real one. Bold: the
interval is on the right side of nothing (of a set: above that of the real clips against
themselves), so the metric sees the damage. `--quick` takes three short clips and two kinds of
damage. The ratio is the share of damages that one of the metrics made to see them sees.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.real_clips import SWAPPED, sets
from curation.assets import cache
from curation.judges.config import JudgeConfig
from curation.media import MediaReader
from curation.progress import say
from jobs.evaluate_config import EvaluateConfig
from jobs.evaluating.clips import find_clips
from jobs.evaluating.distances import FEWEST
from jobs.evaluating.folder import measure
from jobs.evaluating.page import short
from jobs.evaluating.scores import Bench
from jobs.evaluating.sets import Folder, Line, lines
from jobs.proving.page import machine
from jobs.samples import fetch

SIDE = 256
QUICK = ("real", "blurred, 4 px", "hiss, 10 dB below")
# What each damage must move, one metric at least of it; of all others it is only told.
MADE_FOR = {
    "blurred, 4 px": ("fd_frames", "frame_consistency"),
    "noisy, 20 levels": ("temporal_flickering", "motion_smoothness", "fd_frames"),
    "picture held 0.5 s": ("fd_frames", "motion_smoothness"),
    "sound 0.4 s late": ("av_align", "event_f1", "sync_match", "sync_error_ms"),
    "hiss, 10 dB below": ("fd_sound", "kl_sound"),
    "low-passed, 1 kHz": ("fd_sound", "kl_sound"),
    SWAPPED: ("av_align", "event_f1", "sync_match", "av_agreement", "kl_sound"),
}


def spans(folder: Path, count: int, seconds: float) -> list[tuple[Path, float, float]]:
    """Clips spread over the films: the head, the drawn grating, the rest out of Big Buck Bunny."""
    film, head, grating = (folder / f"{name}.mp4" for name in ("bbb", "jwpIntro", "default"))
    starts = np.linspace(20, 470, count - 2)  # behind the titles and before the credits
    return [
        *((film, float(start), float(start) + seconds) for start in starts.round()),
        (head, 0.0, seconds),
        (grating, 2.0, 2 + seconds),
    ]


def compared(real: Folder, damaged: Folder, bench: Bench) -> dict[str, Line]:
    """The lines of `evaluate` for a damaged folder beside the real one, which is the reference."""
    roles = {"made": real, "other": damaged, "reference": real}
    return {line.metric.name: line for line in lines(roles, bench.metrics, 0)}


def cell(line: Line) -> tuple[str, bool]:
    """(difference, or of a set the distance, with its interval; whether the damage is seen)."""
    of_pairs = line.metric.name in ("kl_sound", "onset_f1")
    value = line.values["other"] if line.metric.of_set or of_pairs else line.difference
    if value is None:
        return "", False
    if value.clips < FEWEST:
        return f"{short(value.value)}, one clip", False
    text = f"{short(value.value)} [{short(value.low)}…{short(value.high)}]"
    if line.metric.of_set:
        same = line.values[
            "made"
        ]  # the real clips' distance to themselves: 0, and how sure that is
        seen = line.metric.better == "lower" and same is not None and value.low > same.high
    elif line.metric.name == "onset_f1":
        seen = value.high < 1
    elif line.metric.better == "lower":
        seen = value.low > 0
    else:
        seen = bool(line.metric.better) and value.high < 0
    return (f"**{text}**" if seen else text), seen


def main() -> None:
    """Make the clips, measure them, print the table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    films = cache() / "films"
    fetch(films)
    with tempfile.TemporaryDirectory() as place, MediaReader() as reader:
        count, seconds = (3, 2.0) if given.quick else (given.clips, given.seconds)
        folders = sets(reader, spans(films, count, seconds), given.out or Path(place), SIDE)
        if given.quick:
            folders = {name: folders[name] for name in QUICK}
        bench, config = Bench(JudgeConfig(), reader), EvaluateConfig(side=SIDE)
        measured = {}
        for name, folder in folders.items():
            say(f"damaged: {name}")
            measured[name] = measure(bench, config, str(folder), find_clips(folder))
    real = measured.pop("real")
    table = {name: compared(real, folder, bench) for name, folder in measured.items()}
    names = [
        metric for metric in bench.metrics if any(cell(t[metric.name])[0] for t in table.values())
    ]
    say("| metric | real | " + " | ".join(table) + " |")
    say("| --- " * (2 + len(table)) + "|")
    for metric in names:
        first = next(iter(table.values()))[metric.name]
        own = first.values["reference" if metric.group == "against real" else "made"]
        cells = [
            short(own.value) if own else "",
            *(cell(t[metric.name])[0] for t in table.values()),
        ]
        arrow = {"higher": " ↑", "lower": " ↓"}.get(metric.better, "")
        say(f"| `{metric.name}`{arrow} | " + " | ".join(cells) + " |")
    seen = {d: [n for n in MADE_FOR[d] if cell(t[n])[1]] for d, t in table.items()}
    ratio = sum(map(bool, seen.values())) / len(seen)
    result = {"name": "damaged", "ratio": ratio, "aim": 1.0, "ours": seen, "peer": "nothing seen"}
    result |= {"unit": "share of damages", "clips": len(real.scored), "machine": machine()}
    say(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
