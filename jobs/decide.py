"""Turn scores into verdicts by the recipe's policy. Takes seconds and touches no media.

Writes verdicts/<fingerprint> and prints the funnel: what each rule removed in its turn, and what it
alone removes. Change a threshold and run it again; nothing else has to be done over.
"""

from curation.progress import say
from curation.records import Status
from jobs.cli import DONE, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe
from pipelines.ledger import Ledger
from pipelines.policy import decide

SECTIONS = ("policy",)


def run(recipe: Recipe, words: list[str]) -> int:  # noqa: ARG001 - every verb has this shape
    """Decide on all clips of the recipe's scan."""
    tally = decide(recipe.policy, Ledger(recipe.data.ledger), recipe.scan.fingerprint())
    if not tally.total:
        say("decide: there are no scored clips; run `reelmill scan` with this recipe first")
        return WRONG_REQUEST
    if not tally.status[Status.OK]:
        say("decide: no clip passes; the funnel above names the rules, relax policy.rules")
        return TOO_MANY_REJECTED
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("decide"))
