"""Learned models judge the clips that the scan cut: text, faces, safety, looks, what is seen and
heard, speech quality, agreement of sound and picture, lips.

Writes scores/<judge>@<fingerprint> for each judge of the recipe. A rerun does only what is missing:
new clips, judges added, models changed. A judge whose model cannot be had leaves nulls and says so.
"""

from collections.abc import Collection
from pathlib import Path

from curation.progress import say
from jobs.cli import DONE, main_verb
from jobs.config import Recipe, RecipeError
from jobs.passes import run_pass
from pipelines.alike import mark_alike
from pipelines.judge import judge
from pipelines.ledger import Ledger
from pipelines.tally import Tally

SECTIONS = ("judge",)


def run(
    recipe: Recipe,
    words: list[str],  # noqa: ARG001 - every verb has this shape
    replay: Collection[str] = (),
) -> int:
    """Judge all clips of the recipe's scan."""
    if not recipe.judge.judges:
        say("judge: the recipe names no judges (judge.judges)")
        return DONE
    for field, path in recipe.judge.files().items():
        if not Path(path).is_file():
            raise RecipeError(f"{field}: there is no file {path!r}")
    ledger, scan = Ledger(recipe.data.ledger), recipe.scan.fingerprint()

    def work() -> Tally:
        limits = recipe.scan.limits
        try:
            tally = judge(recipe.judge, ledger, scan, limits, recipe.error_budget, replay)
        except ValueError as error:
            raise RecipeError(str(error)) from error
        if "embed" in recipe.judge.judges:
            mark_alike(ledger, recipe.judge.tables()["embed"], scan)
        return tally

    nothing = "there are no clips; run `reelmill scan` with this recipe first"
    return run_pass("judge", recipe, work, nothing)


if __name__ == "__main__":
    raise SystemExit(main_verb("judge"))
