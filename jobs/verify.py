"""Check every byte of a shard set against its contract and name any damage.

`reelmill verify recipe.yaml` checks the set of the recipe's last encode; `reelmill verify FOLDER`,
or a URI, checks any shard set. Exit code 0: as written; 1: damaged, one line for each damage.
"""

from pathlib import Path

from curation.places import Remote, place
from curation.progress import progress, say
from jobs.cli import DONE, FAILED, main_verb, split_words
from jobs.config import RecipeError, load_recipe
from pipelines.contract import find_set
from pipelines.verify import verify

TAKES_RECIPE = False
SHOWN = 50


def run(words: list[str]) -> int:
    """Verify the set that the one positional word names."""
    positional, overrides = split_words(words)
    if len(positional) != 1:
        raise RecipeError("`reelmill verify` needs a recipe or the folder of a shard set")
    try:
        where = place(positional[0])
        if isinstance(where, Path) and not where.is_dir():
            where = load_recipe(where, overrides).data.shards
        if isinstance(where, Remote):
            where.check()
        # A folder of shards without a contract is damaged, which is a finding and no wrong request.
        folder = where if any(where.glob("*.tar")) else find_set(where)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    say(f"verify: {folder}")
    with progress("verify", None, "samples") as advance:
        damages = verify(folder, advance)
    for damage in damages[:SHOWN]:
        say(damage.line())
    if len(damages) > SHOWN:
        say(f"... and {len(damages) - SHOWN} more")
    if damages:
        clips = {clip for damage in damages for clip in damage.clips}
        say(
            f"verify: {len(damages)} damages, {len(clips)} clips lost. Delete damaged files and "
            "run encode again: it makes them anew, with the same bytes, and nothing else"
        )
        return FAILED
    say("verify: every byte is as written")
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("verify"))
