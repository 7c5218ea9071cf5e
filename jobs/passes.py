"""What every verb of a pass does around it: errors become words, the tally an exit code."""

from collections.abc import Callable

from curation.progress import say
from jobs.cli import DONE, FAILED, TOO_MANY_REJECTED, WRONG_REQUEST
from jobs.config import Recipe
from pipelines.budget import BudgetError
from pipelines.tally import Tally


def run_pass(verb: str, recipe: Recipe, work: Callable[[], Tally], nothing: str) -> int:
    """Run a pass; `nothing` is said when it had no inputs."""
    try:
        tally = work()
    except (BudgetError, ConnectionError) as error:
        say(f"reelmill {verb}: {error}")
        return FAILED
    if not tally.total:
        say(f"{verb}: {nothing}")
        return WRONG_REQUEST
    if tally.rejected > recipe.max_rejected:
        say(
            f"{verb}: {tally.rejected:.0%} of the {tally.unit} failed, more than max_rejected = "
            f"{recipe.max_rejected:.0%}; `reelmill failures` with this recipe lists them"
        )
        return TOO_MANY_REJECTED
    return DONE
