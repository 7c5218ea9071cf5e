"""Find films, decode each once at low resolution, cut clips and score picture, sound and sync.

Writes the ledger's tables sources, clips and scores/scan@<fingerprint>. Run again it does only what
is missing. Every film ends as one row: ok, filtered, failed or skipped, with a reason.
"""

from collections.abc import Collection

from jobs.cli import main_verb
from jobs.config import Recipe, RecipeError
from jobs.passes import run_pass
from pipelines.ledger import Ledger
from pipelines.scan import scan
from pipelines.tally import Tally

SECTIONS = ("scan",)


def run(recipe: Recipe, words: list[str], replay: Collection[str] = ()) -> int:
    """Scan `recipe.scan.sources`; further words are sources instead."""
    config = recipe.scan.model_copy(update={"sources": sources_of(recipe, words)})

    def work() -> Tally:
        try:
            return scan(config, Ledger(recipe.data.ledger), recipe.error_budget, replay)
        except ValueError as error:
            raise RecipeError(f"scan.sources: {error}") from error

    return run_pass("scan", recipe, work, f"no film lies in {', '.join(config.sources)}")


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
