"""Remove films from everything that was made of them, for good.

  reelmill takedown recipe.yaml SOURCE_ID_OR_PATH ...

Drops their clips, scores, captions, verdicts and words from the ledger and their samples from every
shard set, and writes the request down: no later scan takes the film in again, under whatever name.
Running `encode` afterwards copies the samples that are left. What it cannot reach, it names: the
film itself, reports, and checkpoints that were trained on it.
"""

from curation.progress import say
from jobs.cli import DONE, WRONG_REQUEST, main_verb
from jobs.config import Recipe
from pipelines.ledger import Ledger
from pipelines.shards import ShardError
from pipelines.takedown import sources_named, take_down

SECTIONS = ()


def run(recipe: Recipe, words: list[str]) -> int:
    """Take down the films that `words` name."""
    try:
        if not words:
            raise ValueError("name the films to remove, by source_id or path")
        films = sources_named(Ledger(recipe.data.ledger), words)
        removed = take_down(recipe.data, films)
    except (ValueError, ShardError) as error:
        say(f"reelmill takedown: {error}")
        return WRONG_REQUEST
    for name, paths in films.items():
        say(f"takedown: {name} ({', '.join(paths)})")
    for table, count in removed.rows.items():
        say(f"  {count} rows of {table}")
    for folder, count in removed.samples.items():
        say(f"  {count} samples of shards/{folder}")
    left = [p for p in ("report.html", "checkpoints", "clips") if (recipe.out / p).exists()]
    where = ", ".join(f"{recipe.out}/{name}" for name in left)
    say(
        "takedown: done. Not touched: the films themselves"
        + (f", and what was made before: {where}" if where else "")
    )
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("takedown"))
