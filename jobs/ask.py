"""Ask a multimodal model yes/no questions about clips, for rules of the policy.

A recipe names the questions (`ask.questions`) and the model (as for captions: an OpenAI-compatible
server, or a model's folder). Writes scores/asks@<fingerprint> with a column ask_<name> for each:
yes, no, or null where the model could not tell, would not answer or was not asked. Clips that
another rule drops are not asked about. Answers are kept and nothing is asked twice.
"""

from collections.abc import Collection

from curation.progress import say
from jobs.cli import DONE, FAILED, main_verb
from jobs.config import Recipe, RecipeError
from jobs.passes import finished, outcome
from pipelines.ask import ask
from pipelines.ledger import Ledger
from pipelines.tally import Tally

SECTIONS = ("ask", "policy")
NOTHING = "there are no scored clips; run `reelmill scan` with this recipe first"


def run(
    recipe: Recipe,
    words: list[str],  # noqa: ARG001 - every verb has this shape
    replay: Collection[str] = (),
) -> int:
    """Ask about the clips of the recipe's scan."""
    if not recipe.ask.questions:
        say("ask: the recipe has no questions (ask.questions)")
        return DONE
    if wanting := recipe.ask.wanting():
        raise RecipeError(wanting)
    ledger, scan = Ledger(recipe.data.ledger), recipe.scan.fingerprint()
    policies = [recipe.policy.phase(name) for name in ("", *recipe.policy.phases)]
    tables = tuple(dict.fromkeys([*recipe.score_tables, *recipe.judge.tables().values()]))

    def work() -> Tally:
        try:
            return ask(recipe.ask, ledger, scan, policies, tables, recipe.scan.limits, replay)
        except ValueError as error:
            raise RecipeError(str(error)) from error

    tally = finished("ask", work)
    if tally is None:
        return FAILED
    return outcome("ask", recipe, tally, NOTHING, tally.unanswered)


if __name__ == "__main__":
    raise SystemExit(main_verb("ask"))
