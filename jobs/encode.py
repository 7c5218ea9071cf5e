"""Turn kept clips into latents: picture, sound and text in WebDataset shards.

Writes `<out>/data/shards/<fingerprint>/` with shards, index.parquet and, last, contract.json, and
the ledger's artefacts table: for every kept clip its shard, or why there is none. Run again it
makes only the shards that are missing, with the same bytes as an undisturbed run.
"""

from curation.progress import say
from jobs.cli import DONE, FAILED, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe
from pipelines.encode import encode
from pipelines.encode_plan import Inputs
from pipelines.verdicts import verdict_fingerprint

SECTIONS = ("encode",)


def run(recipe: Recipe, words: list[str]) -> int:  # noqa: ARG001 - every verb has this shape
    """Encode the clips that the recipe's policy keeps."""
    try:
        tally = encode(recipe.data, recipe.encode, inputs(recipe), recipe.scan.limits)
    except ValueError as error:
        say(f"reelmill encode: {error}")
        return WRONG_REQUEST
    except ConnectionError as error:
        say(f"reelmill encode: {error}")
        return FAILED
    if tally.rejected > recipe.max_rejected:
        say(
            f"encode: {tally.rejected:.0%} of the clips failed, more than max_rejected = "
            f"{recipe.max_rejected:.0%}; the reasons are in {recipe.data.ledger}/artefacts"
        )
        return TOO_MANY_REJECTED
    return DONE


def inputs(recipe: Recipe) -> Inputs:
    """The ledger tables that this recipe's scan, policy and captions write. Raises ValueError."""
    scan = recipe.scan.fingerprint()
    policy = recipe.policy.phase(recipe.encode.phase)
    return Inputs(
        scan=scan,
        verdicts=verdict_fingerprint(policy, scan, recipe.score_tables),
        caption=recipe.caption.fingerprint(),
    )


if __name__ == "__main__":
    raise SystemExit(main_verb("encode"))
