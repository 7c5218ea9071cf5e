"""Hear whole films before the scan cuts them: words with their times, languages, speakers.

Writes one row a film to the ledger's table words@<fingerprint>; the scan then cuts between words
and gives each clip its columns. `speech.engine: none`, the default, does nothing. Films are those
of `scan.sources`. Run again it does only what is missing.
"""

from collections.abc import Collection

from curation.progress import say
from jobs.cli import DONE, main_verb
from jobs.config import Recipe, RecipeError
from jobs.passes import run_pass
from jobs.scan import sources_of
from pipelines.ledger import Ledger
from pipelines.speech import speech
from pipelines.tally import Tally

SECTIONS = ("speech",)


def run(recipe: Recipe, words: list[str], replay: Collection[str] = ()) -> int:
    """Hear the films of `recipe.scan.sources`; further words are sources instead."""
    if recipe.speech.engine == "none":
        say("speech: no engine is asked for (speech.engine: embedded or whisperx)")
        return DONE
    sources = sources_of(recipe, words)
    ledger, limits = Ledger(recipe.data.ledger), recipe.scan.limits

    def work() -> Tally:
        try:
            return speech(recipe.speech, sources, limits, ledger, recipe.error_budget, replay)
        except ValueError as error:
            raise RecipeError(str(error)) from error

    return run_pass("speech", recipe, work, f"no film lies in {', '.join(sources)}")


if __name__ == "__main__":
    raise SystemExit(main_verb("speech"))
