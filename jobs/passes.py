"""What every verb of a pass does around it: errors become words, the tally an exit code."""

from collections.abc import Callable

from curation.captions.server import ServerError
from curation.progress import say
from jobs.cli import DONE, FAILED, TOO_MANY_REJECTED, WRONG_REQUEST
from jobs.config import Recipe
from pipelines.budget import BudgetError
from pipelines.tally import Tally


def run_pass(verb: str, recipe: Recipe, work: Callable[[], Tally], nothing: str) -> int:
    """Run a pass; `nothing` is said when it had no inputs."""
    tally = finished(verb, work)
    return FAILED if tally is None else outcome(verb, recipe, tally, nothing)


def finished(verb: str, work: Callable[[], Tally]) -> Tally | None:
    """The tally of a pass; None when its system failed, which is said."""
    try:
        return work()
    except ServerError as error:
        say(f"{verb}: {error}; answers so far are kept, run it again to go on")
    except (BudgetError, ConnectionError) as error:
        say(f"reelmill {verb}: {error}")
    return None


def outcome(
    verb: str, recipe: Recipe, tally: Tally, nothing: str, share: float | None = None
) -> int:
    """The exit code of a pass, whose numbers are exported.

    `share` of its work failed, of all inputs unless it is given.
    """
    share = tally.rejected if share is None else share
    if not tally.total:
        say(f"{verb}: {nothing}")
        return WRONG_REQUEST
    tally.export(recipe.data.metrics, recipe.name)
    if share > recipe.max_rejected:
        say(
            f"{verb}: {share:.0%} of the {tally.unit} failed, more than max_rejected = "
            f"{recipe.max_rejected:.0%}; `reelmill failures` with this recipe lists them"
        )
        return TOO_MANY_REJECTED
    return DONE
