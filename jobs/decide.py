"""Turn scores into verdicts by the recipe's policy. Takes seconds and touches no media.

Writes verdicts/<fingerprint> for the policy and for each of its phases, and prints the funnels:
what each rule removed in its turn, and what it alone removes. Change a threshold and run it again;
nothing else has to be done over.

  reelmill decide --diff A.yaml B.yaml     what B would keep and A does not, and the reverse, in
                                           hours, by class of sound and by rule; writes nothing
  reelmill decide --diff A.yaml high       the same against phase `high` of A's own policy
"""

from pathlib import Path

from curation.progress import say
from curation.records import Status
from jobs.cli import DONE, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe, load_recipe
from pipelines.ledger import Ledger
from pipelines.policy_diff import diff_lines
from pipelines.verdicts import decide, judge, scored_table

SECTIONS = ("policy",)
SWITCHES = ("diff",)


def run(recipe: Recipe, words: list[str]) -> int:
    """Decide on all clips of the recipe's scan, or compare two policies over them."""
    try:
        if "--diff" in words:
            return compare(recipe, [word for word in words if word != "--diff"])
        return decide_all(recipe)
    except ValueError as error:
        say(f"reelmill decide: {error}")
        return WRONG_REQUEST


def decide_all(recipe: Recipe) -> int:
    """Verdicts of the policy and of its phases; fails when the one to encode keeps nothing."""
    ledger, scan = Ledger(recipe.data.ledger), recipe.scan.fingerprint()
    code = DONE
    for phase in ("", *recipe.policy.phases):
        tally = decide(recipe.policy, ledger, scan, recipe.score_tables, phase)
        if not tally.total:
            say("decide: there are no scored clips; run `reelmill scan` with this recipe first")
            return WRONG_REQUEST
        tally.export(recipe.data.metrics, recipe.name)
        if not tally.status[Status.OK]:
            where = f"policy.phases.{phase}.rules" if phase else "policy.rules"
            say(f"decide: no clip passes; the funnel above names the rules, relax {where}")
            if phase == recipe.encode.phase:  # the others do not keep this one from being encoded
                code = TOO_MANY_REJECTED
    return code


def compare(recipe: Recipe, words: list[str]) -> int:
    """Print what changes from the recipe's policy to another's over the same clips."""
    if len(words) != 1:
        raise ValueError("--diff takes two recipes, or a recipe and one of its phases")
    if words[0] in recipe.policy.phases:
        other = recipe.policy.phase(words[0])
    else:
        other = load_recipe(Path(words[0])).policy.phase("")
    clips = scored_table(Ledger(recipe.data.ledger), recipe.scan.fingerprint(), recipe.score_tables)
    if not clips.num_rows:
        raise ValueError("there are no scored clips; run `reelmill scan` with this recipe first")
    mine = recipe.policy.phase("")
    for line in diff_lines(clips, judge(mine, clips), judge(other, clips)):
        say(line)
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("decide"))
