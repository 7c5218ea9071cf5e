"""Measure clips by the field's metrics, beside real clips or another folder's.

  reelmill evaluate recipe.yaml                            the clips in <out>/clips
  reelmill evaluate recipe.yaml FOLDER                     any folder of films
  reelmill evaluate recipe.yaml FOLDER --reference REAL    against real clips
  reelmill evaluate recipe.yaml FOLDER SECOND              two folders of the same prompts, in pairs
  reelmill evaluate recipe.yaml FOLDER --page FILE         writes FILE, and its .json beside it

A clip's json, as `generate` writes it, says what was asked. `<out>/evaluate.html` shows the clips
beside their scores and each metric's mean with its 95 % interval (bootstrap over clips),
`<out>/evaluate.json` has all of it, MLflow's run of the training gets the means. What cannot be
measured is null, never a pass; a model that is not here is named. docs/evaluate.md defines every
metric and says what is embedded and what the field uses instead.
"""

from pathlib import Path

from curation.files import write_json, write_text
from curation.media import MediaReader
from curation.progress import say
from jobs.cli import DONE, TOO_MANY_REJECTED, main_verb
from jobs.config import Recipe, RecipeError
from jobs.evaluating.clips import find_clips
from jobs.evaluating.folder import measure
from jobs.evaluating.networks import Loaded
from jobs.evaluating.page import Evaluation, card, numbers, render, terminal
from jobs.evaluating.scores import Bench
from jobs.evaluating.sets import Folder, lines
from jobs.tracked import send_numbers

SECTIONS = ("evaluate",)
OPTIONS = ("reference", "page")


def run(recipe: Recipe, words: list[str]) -> int:
    """Measure, write the page and the JSON; 3 where too many files could not be read."""
    options = {word[2:].partition("=")[0]: word for word in words if word.startswith("--")}
    given = {name: Path(word.partition("=")[2]) for name, word in options.items()}
    places = [Path(word) for word in words if not word.startswith("--")]
    if len(places) > 2:
        raise RecipeError("evaluate takes two folders of clips at most, and --reference FOLDER")
    folders = {"made": places[0] if places else recipe.out / "clips"}
    folders |= {"other": places[1]} if len(places) > 1 else {}
    folders |= {"reference": given["reference"]} if "reference" in given else {}
    page = given.get("page", recipe.out / "evaluate.html")
    found = evaluate(recipe, folders)
    write_json(page.with_suffix(".json"), card(found, recipe))
    write_text(page, render(found, recipe))
    made = found.folders["made"]
    send_numbers(recipe, numbers(found), "evaluate", made.step or 0)
    say("\n".join(terminal(found)))
    say(f"evaluate: {len(made.scored)} clips, {len(made.rejected)} could not be read; {page}")
    refused = max(folder.refused for folder in found.folders.values())
    return TOO_MANY_REJECTED if refused > recipe.max_rejected else DONE


def evaluate(recipe: Recipe, folders: dict[str, Path]) -> Evaluation:
    """Every folder's clips, measured. Raises RecipeError for a folder without films."""
    config = recipe.evaluate
    for field, path in recipe.judge.files().items():
        if not Path(path).is_file():
            raise RecipeError(f"{field}: there is no file {path}")
    networks = Loaded(config.networks)
    clips = {role: find_clips(folder, config.clips) for role, folder in folders.items()}
    found: dict[str, Folder] = {}
    with MediaReader(recipe.scan.limits) as reader:
        bench = Bench(recipe.judge, reader, networks)
        for role, listed in clips.items():
            found[role] = measure(bench, config, str(folders[role]), listed)
    return Evaluation(found, lines(found, bench.metrics, config.seed), bench.missing)


if __name__ == "__main__":
    raise SystemExit(main_verb("evaluate"))
