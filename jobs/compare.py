"""Training runs side by side, in one HTML page and a table.

  reelmill compare runs/a runs/b [runs/c ...]     writes compare.html in the current folder
  reelmill compare runs/a runs/b --page FILE      writes it there

A run is the folder `out` of a recipe that was trained. The page has the ranking by held-out loss,
what differs between the recipes, curves by samples and by FLOPs with the spread of the batches, and
the runs' sample clips of the same prompts beside each other. MLflow has the same curves live.
"""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from curation.files import write_text
from curation.progress import say
from jobs.cli import DONE, main_verb, take_options
from jobs.comparing.page import render
from jobs.comparing.runs import Compared, differences, ranked, read_run
from jobs.config import RecipeError

TAKES_RECIPE = False
PAGE = Path("compare.html")


def run(words: list[str]) -> int:
    """Compare the runs in the folders `words`."""
    options, folders = take_options(words, ("page",))
    page = Path(options[-1].partition("=")[2]) if options else PAGE
    if strange := [word for word in folders if word.startswith("--")]:
        raise RecipeError(f"compare knows no option {strange[0]}; it has --page FILE")
    folders = list(dict.fromkeys(folders))
    if len(folders) < 2:
        raise RecipeError("give at least two run folders: `reelmill compare runs/a runs/b`")
    runs = ranked([read_run(Path(folder)) for folder in folders])
    show(runs)
    write_text(page, render(runs))
    say(f"compare: {page.resolve()}")
    return DONE


def show(runs: list[Compared]) -> None:
    """The ranking and the differences on the terminal."""
    table = Table("run", "held-out loss", "at step", "samples", "PFLOPs", box=None)
    for one in runs:
        best = f"{one.best:.4f}" if one.best is not None else "none"
        seen = one.last
        table.add_row(
            one.name,
            best,
            str(one.best_step),
            f"{seen.get('samples_seen', 0):,}",
            f"{seen.get('flops_seen', 0.0) / 1e15:.3g}",
        )
    Console(stderr=True).print(table)
    for field, values in differences(runs).items():
        say(f"  {field}: " + " | ".join(values))


if __name__ == "__main__":
    raise SystemExit(main_verb("compare"))
