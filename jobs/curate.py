"""Films to shards in one go: speech, scan, judge, ask, decide, caption, encode.

Where rules ask how captions agree with their clips, `decide` runs once more after `caption`.

Each step does only what is missing, so running it again after a stop goes on where it was. Too many
refused films do not stop the chain; the exit code tells of them at the end.
"""

from typing import Any

from jobs import ask, caption, decide, encode, judge, scan, speech
from jobs.cli import DONE, TOO_MANY_REJECTED, main_verb
from jobs.config import Recipe

SECTIONS = ("speech", "scan", "judge", "ask", "policy", "caption", "encode")


def run(recipe: Recipe, words: list[str]) -> int:
    """Run the chain; the first step that fails ends it, rejections above the ceiling do not."""
    code = DONE
    for step, given in steps(recipe, words):
        result = step.run(recipe, given)
        if result not in (DONE, TOO_MANY_REJECTED):
            return result
        code = max(code, result)
        if step is decide and result != DONE:
            return result  # nothing was kept: there is nothing to caption and encode
    return code


def steps(recipe: Recipe, sources: list[str]) -> list[tuple[Any, list[str]]]:
    """The verbs of the chain that the recipe asks for, with their words, in their order."""
    return [
        *([(speech, sources)] if recipe.speech.table() else []),
        (scan, sources),
        (judge, []),
        *([(ask, [])] if recipe.ask.questions else []),
        (decide, []),
        (caption, []),
        *([(decide, [])] if recipe.policy.of_captions() else []),
        (encode, []),
    ]


if __name__ == "__main__":
    raise SystemExit(main_verb("curate"))
