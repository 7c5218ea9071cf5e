"""Write captions of the clips that the policy keeps: short, long and structured.

They come from a sidecar (`<stem>.captions.json` beside the film), from the manifest's caption
column, from a multimodal model (`llm` in caption.prefer: an OpenAI-compatible server, or a model's
folder), or are composed from what the scan measured, and say which. Writes
scores/caption@<fingerprint>; a model's answers stay in scores/answers@<fingerprint> and nothing is
asked twice. Where judges embedded a clip or named its sounds, how well words and clip agree goes to
scores/agreement@<fingerprint>. Run it after `reelmill decide`: clips that neither the policy nor a
phase of it keeps are not described, and a model is not asked about them. docs/captions.md tells how
to point it at one.
"""

from collections.abc import Collection

from curation.progress import say
from curation.records import Status
from jobs.cli import FAILED, WRONG_REQUEST, main_verb
from jobs.config import Recipe, RecipeError
from jobs.passes import finished, outcome
from pipelines.caption import caption
from pipelines.caption_agree import agree
from pipelines.ledger import Ledger
from pipelines.tally import Tally
from pipelines.verdicts import verdict_fingerprint

SECTIONS = ("caption", "policy")
NOTHING = "there are no scored clips; run `reelmill scan` with this recipe first"


def run(
    recipe: Recipe,
    words: list[str],  # noqa: ARG001 - every verb has this shape
    replay: Collection[str] = (),
) -> int:
    """Caption the kept clips of the recipe's scan."""
    ledger, scan = Ledger(recipe.data.ledger), recipe.scan.fingerprint()
    # Judges read text and name sounds, whether or not the policy asks for them.
    tables = tuple(dict.fromkeys([*recipe.score_tables, *recipe.judge.tables().values()]))
    if "llm" in recipe.caption.prefer and (wanting := recipe.caption.llm.wanting()):
        raise RecipeError(wanting)
    if recipe.caption.rewrite and (wanting := recipe.caption.rewrite.wanting()):
        raise RecipeError(wanting)
    verdicts = [
        f"verdicts/{verdict_fingerprint(recipe.policy.phase(phase), scan, recipe.score_tables)}"
        for phase in ("", *recipe.policy.phases)
    ]

    def work() -> Tally:
        limits = recipe.scan.limits
        tally = caption(recipe.caption, ledger, scan, tables, limits, verdicts, replay)
        agree(ledger, f"scores/caption@{recipe.caption.fingerprint()}", recipe.judge)
        return tally

    tally = finished("caption", work)
    if tally is None:
        return FAILED
    if undecided := tally.status[Status.SKIPPED]:
        say(
            f"caption: {undecided} clips have no verdict; "
            "run `reelmill decide` with this recipe first"
        )
        if undecided == tally.total:
            return WRONG_REQUEST
    return outcome("caption", recipe, tally, NOTHING, tally.unanswered)


if __name__ == "__main__":
    raise SystemExit(main_verb("caption"))
