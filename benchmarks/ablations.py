"""What each choice of the network is worth: the same proof with one of them changed.

`python -m benchmarks.ablations [--steps 1500] [--only NAME ...] [--out FOLDER]` runs `reelmill
prove` once a variant, all with the same films, steps and seeds, in a small world (a ball that
falls) whose sounds are its impacts; `reelmill compare FOLDER/*` draws the runs side by side. Every
run resumes, and a variant that was not run yet is left out of the table. The ratio is the share of
sounds for a given picture that are on the film's own impacts, without exchange between the towers
to that with it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from curation.progress import say
from jobs.proving.page import machine, value
from jobs.proving.tables import Estimate
from jobs.training.log import read
from model.config import named_config
from model.footprint import count_weights

RECIPE = "jobs/recipes/prove.yaml"
SIZE, PATCH = "tiny", 2
WORLD = {"shapes": ["ball"], "motions": ["fall"], "unnamed": 0.0}
TASKS = {
    "text_to_av": 0.4, "video_to_audio": 0.3, "audio_to_video": 0.3, "image_to_av": 0, "extend": 0,
    "first_last": 0, "inpaint": 0, "outpaint": 0, "reference_image": 0, "reference_clip": 0,
    "reference_sound": 0,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "as in the paper": {},
    "no exchange": {"exchange": "none"},
    "both at once": {"exchange": "at_once"},
    "picture first": {"exchange": "video_first"},
    "the paper's clock": {"clock": "paper"},
    "a clock a clip": {"clock": "latents", "clock_fps": 8.0},
    "all blocks dual": {"dual": 3, "single": 0},
    "all blocks single": {"dual": 0, "single": 3},
}
SHOWN = (
    ("text", "colour"),
    ("text", "pitch"),
    ("text", "sounds within a frame of an impact"),
    ("sound for a picture", "sounds on the film's own"),
    ("picture for a sound", "impacts on the film's own"),
)

Table = dict[tuple[str, str], tuple[Estimate | None, str]]


def run(name: str, steps: int, out: Path) -> None:
    """One variant's proof."""
    settings: dict[str, Any] = {
        "prove.steps": steps,
        "prove.minutes": 1440,  # never so few that there are fewer clips
        "prove.held_out": [],
        "train.tasks": TASKS,
        "train.model": {"patch": PATCH, **VARIANTS[name]},
        "train.validate_every": 250,
    } | {f"world.{field}": wanted for field, wanted in WORLD.items()}
    words = [
        word
        for field, wanted in settings.items()
        for word in (f"--{field}", yaml.safe_dump(wanted, default_flow_style=True).strip())
    ]
    command = [sys.executable, "-m", "jobs.cli", "prove", RECIPE, *words]
    subprocess.run([*command, "--out", str(out)], check=True)  # noqa: S603 - our own words


def rows_of(out: Path) -> Table:
    """The proof's rows by capability and measure."""
    found = json.loads((out / "proof.json").read_text())["rows"]
    return {
        (row["capability"], row["measure"]): (
            Estimate(**row["made"]) if row["made"] else None,
            row["unit"],
        )
        for row in found
    }


def losses(out: Path) -> tuple[float, float]:
    """The last held-out losses of picture and sound."""
    last = [line for line in read(out / "metrics.jsonl") if line["kind"] == "validation"][-1]
    return last["video"], last["audio"]


def main() -> None:
    """Run what is asked for, print the table of all that is there and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    given = parser.parse_args()
    places = {name: given.out / name.replace(" ", "-").replace("'", "") for name in VARIANTS}
    for name in given.only:
        if not (places[name] / "proof.json").is_file():
            run(name, given.steps, places[name])
    there = {name: place for name, place in places.items() if (place / "proof.json").is_file()}
    tell(there, given.steps)


def tell(there: dict[str, Path], steps: int) -> None:
    """The table in Markdown and the line of JSON."""
    told = [f"{where}: {measure}" for where, measure in SHOWN]
    say("| variant | parameters | " + " | ".join([*told, "held-out loss, picture", "sound"]) + " |")
    say("| --- " * (len(SHOWN) + 4) + "|")
    tables = {name: rows_of(place) for name, place in there.items()}
    for name, table in tables.items():
        config = named_config(SIZE, patch=PATCH, **VARIANTS[name])
        cells = [f"{count_weights(config).total / 1e6:.2f} M"]
        cells += [value(*table[wanted]) for wanted in SHOWN]
        cells += [f"{loss:.3f}" for loss in losses(there[name])]
        say(f"| {name} | " + " | ".join(cells) + " |")
    whole, without = (
        tables.get(name, {}).get(SHOWN[3]) for name in ("as in the paper", "no exchange")
    )
    if whole and without and whole[0] and without[0]:
        ours, peer = without[0].value, whole[0].value
        result = {"name": "ablations", "ratio": round(ours / peer, 2), "ours": ours, "peer": peer}
        result |= {"unit": "share of sounds on the film's own", "steps": steps}
        say(json.dumps(result | {"machine": machine()}, ensure_ascii=False))


if __name__ == "__main__":
    main()
