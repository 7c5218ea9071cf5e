"""Hear whole films before the scan cuts them: words with their times, languages, speakers.

Writes one row a film to the ledger's table words@<fingerprint>; the scan then cuts between words
and gives each clip its columns. `speech.engine: none`, the default, does nothing. Films are those
of `scan.sources`. Run again it does only what is missing.
"""

from curation.progress import say
from jobs.cli import DONE, FAILED, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe, RecipeError
from jobs.scan import sources_of
from pipelines.ledger import Ledger
from pipelines.speech import speech

SECTIONS = ("speech",)


def run(recipe: Recipe, words: list[str]) -> int:
    """Hear the films of `recipe.scan.sources`; further words are sources instead."""
    if recipe.speech.engine == "none":
        say("speech: no engine is asked for (speech.engine: embedded or whisperx)")
        return DONE
    sources = sources_of(recipe, words)
    try:
        tally = speech(recipe.speech, sources, recipe.scan.limits, Ledger(recipe.data.ledger))
    except ValueError as error:
        raise RecipeError(str(error)) from error
    except ConnectionError as error:
        say(f"reelmill speech: {error}")
        return FAILED
    if not tally.total:
        say(f"speech: no film lies in {', '.join(sources)}")
        return WRONG_REQUEST
    if tally.rejected > recipe.max_rejected:
        say(
            f"speech: {tally.rejected:.0%} of the films were refused, more than max_rejected = "
            f"{recipe.max_rejected:.0%}; the reasons are in {recipe.data.ledger}/"
            f"{recipe.speech.table()}"
        )
        return TOO_MANY_REJECTED
    return DONE


if __name__ == "__main__":
    raise SystemExit(main_verb("speech"))
