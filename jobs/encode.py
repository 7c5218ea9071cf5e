"""Turn kept clips into latents: picture, sound and text in WebDataset shards.

Writes `<out>/data/shards/<fingerprint>/` with shards, index.parquet and, last, contract.json, and
the ledger's artefacts table: for every kept clip its shard, or why there is none. Run again it
makes only the shards that are missing, with the same bytes as an undisturbed run.
"""

from collections.abc import Collection

from jobs.cli import main_verb
from jobs.config import Recipe, RecipeError
from jobs.passes import run_pass
from pipelines.encode import encode
from pipelines.encode_plan import Inputs
from pipelines.tally import Tally
from pipelines.verdicts import verdict_fingerprint

SECTIONS = ("encode",)


def run(
    recipe: Recipe,
    words: list[str],  # noqa: ARG001 - every verb has this shape
    replay: Collection[str] = (),
) -> int:
    """Encode the clips that the recipe's policy keeps."""

    def work() -> Tally:
        try:
            made_from, limits = inputs(recipe), recipe.scan.limits
            return encode(
                recipe.data, recipe.encode, made_from, limits, recipe.error_budget, replay
            )
        except ValueError as error:
            raise RecipeError(str(error)) from error

    return run_pass("encode", recipe, work, "no clip was kept")


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
