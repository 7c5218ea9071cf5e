"""Learned models judge the clips that the scan cut: text, faces, safety, looks, what is seen and
heard, speech quality, agreement of sound and picture, lips.

Writes scores/<judge>@<fingerprint> for each judge of the recipe. A rerun does only what is missing:
new clips, judges added, models changed. A judge whose model cannot be had leaves nulls and says so.
"""

from pathlib import Path

from curation.progress import say
from jobs.cli import DONE, FAILED, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe, RecipeError
from pipelines.alike import mark_alike
from pipelines.judge import judge
from pipelines.ledger import Ledger

SECTIONS = ("judge",)


def run(recipe: Recipe, words: list[str]) -> int:  # noqa: ARG001 - every verb has this shape
    """Judge all clips of the recipe's scan."""
    if not recipe.judge.judges:
        say("judge: the recipe names no judges (judge.judges)")
        return DONE
    for field, path in recipe.judge.files().items():
        if not Path(path).is_file():
            raise RecipeError(f"{field}: there is no file {path!r}")
    try:
        tally = judge(
            recipe.judge, Ledger(recipe.data.ledger), recipe.scan.fingerprint(), recipe.scan.limits
        )
    except ConnectionError as error:
        say(f"reelmill judge: {error}")
        return FAILED
    if "embed" in recipe.judge.judges:
        mark_alike(
            Ledger(recipe.data.ledger), recipe.judge.tables()["embed"], recipe.scan.fingerprint()
        )
    if not tally.total:
        say("judge: there are no clips; run `reelmill scan` with this recipe first")
        return WRONG_REQUEST
    if tally.rejected > recipe.max_rejected:
        say(
            f"judge: {tally.rejected:.0%} of the judgements failed, more than max_rejected = "
            f"{recipe.max_rejected:.0%}; the reasons are in {recipe.data.ledger}/scores"
        )
        return TOO_MANY_REJECTED
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("judge"))
