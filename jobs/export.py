"""Register a run's averaged weights as a version of a model in MLflow.

  reelmill export recipe.yaml                      the newest checkpoint of the run in `out`
  reelmill export recipe.yaml --alias champion     and the alias, if the weights pass evaluation

The version has the weights, the run's resolved recipe, the fingerprint of the data, the clips of
`<out>/clips` that these weights made with their requests, and a card. It lies in `<out>/exports`
first, complete or not at all: where MLflow is not there nothing is lost, and the same command
registers it later. `generate.checkpoint` and `train.init.path` take such a folder as it is.

An alias moves only where `<out>/evaluate.json` is of clips that exactly these weights made, and
every metric of `export.require` passes with the worse end of its interval. Else the command says
which does not and by how much, and ends with code 1. docs/export.md has all of it.
"""

import re

from curation.progress import say
from jobs.cli import DONE, FAILED, main_verb
from jobs.config import Recipe, RecipeError
from jobs.exporting.folder import write
from jobs.exporting.gate import RefusedError, Verdict, judged
from jobs.exporting.register import point, register

SECTIONS = ("export",)
OPTIONS = ("alias",)
ALIAS = re.compile(r"(?!v\d+$|latest$)[a-z][a-z0-9_-]{0,63}")  # MLflow keeps v1 and latest


def run(recipe: Recipe, words: list[str]) -> int:
    """Write the export, register it, and move the alias that is asked for."""
    aliases = [word.removeprefix("--alias=") for word in words if word.startswith("--alias=")]
    if len(aliases) < len(words) or len(aliases) > 1:
        raise RecipeError("export takes a recipe and --alias NAME, nothing else")
    if aliases and not ALIAS.fullmatch(aliases[0]):
        raise RecipeError(f"--alias {aliases[0]}: use a-z, 0-9, _ and -, e.g. champion")
    export = write(recipe)
    say(f"export: {export.folder}, {len(export.about['clips'])} clips with it")
    verdicts: list[Verdict] = []
    refused = ""
    if aliases:
        try:
            verdicts = judged(recipe.out / "evaluate.json", export.weights, recipe.export)
        except RefusedError as error:
            refused = str(error)
    try:
        version = register(recipe, export)
        if verdicts:
            point(version, aliases[0], verdicts)
    except Exception as error:
        say(f"export: MLflow did not take it ({type(error).__name__}: {error}); it lies in "
            f"{export.folder}, and the same command registers it")  # fmt: skip
        return FAILED
    say(f"export: version {version.number} of {version.model}")
    if refused:
        say(f"export: {aliases[0]} stays where it is: {refused}")
        return FAILED
    if verdicts:
        say(f"export: {aliases[0]} is version {version.number}; it passed")
        say("\n".join(f"  {one.told}, required {one.wanted:g}" for one in verdicts))
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("export"))
