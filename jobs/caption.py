"""Write captions for every clip: short, long and structured.

They come from a sidecar (`<stem>.captions.json` beside the film), from the manifest's caption
column, from a multimodal model (`llm` in caption.prefer: an OpenAI-compatible server, or a model's
folder), or are composed from what the scan measured, and say which. Writes
scores/caption@<fingerprint>; a model's answers stay in scores/answers@<fingerprint> and nothing is
asked twice. docs/captions.md tells how to point it at a model.
"""

from curation.captions.server import ServerError
from curation.progress import say
from jobs.cli import DONE, FAILED, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe, RecipeError
from pipelines.caption import caption
from pipelines.ledger import Ledger

SECTIONS = ("caption",)


def run(recipe: Recipe, words: list[str]) -> int:  # noqa: ARG001 - every verb has this shape
    """Caption all clips of the recipe's scan."""
    ledger, scan = Ledger(recipe.data.ledger), recipe.scan.fingerprint()
    # Judges read text and name sounds, whether or not the policy asks for them.
    tables = tuple(dict.fromkeys([*recipe.score_tables, *recipe.judge.tables().values()]))
    if "llm" in recipe.caption.prefer and (wanting := recipe.caption.llm.wanting()):
        raise RecipeError(wanting)
    try:
        tally = caption(recipe.caption, ledger, scan, tables, recipe.scan.limits)
    except ServerError as error:
        say(f"caption: {error}; answers so far are kept, run it again to go on")
        return FAILED
    except ConnectionError as error:
        say(f"reelmill caption: {error}")
        return FAILED
    if not tally.total:
        say("caption: there are no scored clips; run `reelmill scan` with this recipe first")
        return WRONG_REQUEST
    if tally.rejected > recipe.max_rejected:
        say(f"caption: {tally.rejected:.0%} of the clips have no caption; see caption.prefer")
        return TOO_MANY_REJECTED
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("caption"))
