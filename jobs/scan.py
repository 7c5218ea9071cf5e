"""Find films, decode each once at low resolution, cut clips and score picture, sound and sync.

Writes the ledger's tables sources, clips and scores/scan@<fingerprint>. Run again it does only what
is missing. Every film ends as one row: ok, filtered, failed or skipped, with a reason.
"""

from curation.progress import say
from jobs.cli import DONE, FAILED, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe, RecipeError
from pipelines.ledger import Ledger
from pipelines.scan import scan

SECTIONS = ("scan",)


def run(recipe: Recipe, words: list[str]) -> int:
    """Scan `recipe.scan.sources`; further words are sources instead."""
    config = recipe.scan.model_copy(update={"sources": sources_of(recipe, words)})
    try:
        tally = scan(config, Ledger(recipe.data.ledger))
    except ValueError as error:
        raise RecipeError(f"scan.sources: {error}") from error
    except ConnectionError as error:
        say(f"reelmill scan: {error}")
        return FAILED
    if not tally.total:
        say(f"scan: no film lies in {', '.join(config.sources)}")
        return WRONG_REQUEST
    if tally.rejected > recipe.max_rejected:
        say(
            f"scan: {tally.rejected:.0%} of the films were refused, more than max_rejected = "
            f"{recipe.max_rejected:.0%}; the reasons are in {recipe.data.ledger}/sources"
        )
        return TOO_MANY_REJECTED
    return DONE


def sources_of(recipe: Recipe, words: list[str]) -> list[str]:
    """Words of the command line, else the recipe's sources, else what `reelmill world` made."""
    made = recipe.out / "films"
    sources = words or recipe.scan.sources or ([str(made)] if made.is_dir() else [])
    if not sources:
        raise RecipeError(
            "scan.sources is empty; name folders, patterns or manifests of films, or make some "
            "with `reelmill world`"
        )
    return sources


if __name__ == "__main__":
    raise SystemExit(main_verb("scan"))
