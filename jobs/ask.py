"""Ask a multimodal model yes/no questions about clips, for rules of the policy.

A recipe names the questions (`ask.questions`) and the model (as for captions: an OpenAI-compatible
server, or a model's folder). Writes scores/asks@<fingerprint> with a column ask_<name> for each:
yes, no, or null where the model could not tell, would not answer or was not asked. Clips that
another rule drops are not asked about. Answers are kept and nothing is asked twice.
"""

from collections.abc import Collection

from curation.captions.server import ServerError
from curation.progress import say
from curation.records import Status
from jobs.cli import DONE, FAILED, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe, RecipeError
from pipelines.ask import ask
from pipelines.ledger import Ledger

SECTIONS = ("ask", "policy")


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
    try:
        tally = ask(recipe.ask, ledger, scan, policies, tables, recipe.scan.limits, replay)
    except ServerError as error:
        say(f"ask: {error}; answers so far are kept, run it again to go on")
        return FAILED
    except ConnectionError as error:
        say(f"reelmill ask: {error}")
        return FAILED
    except ValueError as error:
        say(f"reelmill ask: {error}")
        return WRONG_REQUEST
    if not tally.total:
        say("ask: there are no scored clips; run `reelmill scan` with this recipe first")
        return WRONG_REQUEST
    failed = tally.status[Status.FAILED]
    if failed > recipe.max_rejected * (failed + tally.status[Status.OK]):
        say(f"ask: {failed} clips have no answer; the reasons are in {recipe.data.ledger}/scores")
        return TOO_MANY_REJECTED
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("ask"))
