"""Write captions for every clip: short, long and structured.

They come from a sidecar (`<stem>.captions.json` beside the film), from the manifest's caption
column, or are composed from what the scan measured, and say which. Writes
scores/caption@<fingerprint>.
"""

from curation.progress import say
from jobs.cli import DONE, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe
from pipelines.caption import caption
from pipelines.ledger import Ledger

SECTIONS = ("caption",)


def run(recipe: Recipe, words: list[str]) -> int:  # noqa: ARG001 - every verb has this shape
    """Caption all clips of the recipe's scan."""
    tally = caption(recipe.caption, Ledger(recipe.data.ledger), recipe.scan.fingerprint())
    if not tally.total:
        say("caption: there are no scored clips; run `reelmill scan` with this recipe first")
        return WRONG_REQUEST
    if tally.rejected > recipe.max_rejected:
        say(f"caption: {tally.rejected:.0%} of the clips have no caption; see caption.prefer")
        return TOO_MANY_REJECTED
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("caption"))
