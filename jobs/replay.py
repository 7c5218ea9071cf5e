"""Try again what failed for a reason, in whichever pass it failed, and nothing else.

  reelmill replay recipe.yaml --reason memory_limit --scan.limits.memory_mb 8192
  reelmill replay recipe.yaml --reason worker_died --reason timeout

For failures that a rerun leaves alone, once their cause is gone: raised limits, a mended film, more
memory. It also frees what is in quarantine because workers died of it (`worker_died`). Clips that
come of replayed films are judged, captioned and encoded by `reelmill curate`, as new films are.
`reelmill failures recipe.yaml` lists what failed.
"""

from collections.abc import Collection
from typing import Any

from curation.progress import say
from jobs import ask, caption, encode, judge, scan, speech
from jobs.cli import DONE, TOO_MANY_REJECTED, main_verb
from jobs.config import Recipe, RecipeError
from jobs.failures import check_reasons, letters_of, reasons_of
from pipelines.dead_letters import DeadLetter

SECTIONS = ()
OPTIONS = ("reason",)
STEPS: dict[str, Any] = {
    "speech": speech,
    "scan": scan,
    "judge": judge,
    "ask": ask,
    "caption": caption,
    "encode": encode,
}


def run(recipe: Recipe, words: list[str]) -> int:
    """Replay the failures of the reasons that `words` name; further words are sources instead."""
    reasons = reasons_of(words)
    sources = [word for word in words if not word.startswith("--")]
    letters = letters_of(recipe)
    if not reasons:
        raise RecipeError(
            "name what to try again: --reason X; `reelmill failures` lists what failed"
        )
    check_reasons(letters, reasons)
    failed = [letter for letter in letters if letter.reason in reasons]
    code = DONE
    for step, verb in STEPS.items():
        if any(letter.step == step for letter in failed):
            result = verb.run(recipe, sources, replay=reasons)
            if result not in (DONE, TOO_MANY_REJECTED):
                return int(result)
            code = max(code, result)
    say(told(failed, letters_of(recipe)))
    return code


def told(before: Collection[DeadLetter], after: Collection[DeadLetter]) -> str:
    """What became of failures."""
    left = {letter.key: letter.reason for letter in after}
    still = [letter for letter in before if letter.key in left]
    others = sum(left[letter.key] != letter.reason for letter in still)
    text = f"replay: of {len(before)} failures {len(before) - len(still)} are gone"
    if still:
        text += f", {len(still)} are still there"
        text += f" ({others} for another reason)" if others else ""
        return text + "; `reelmill failures` lists them"
    return text


if __name__ == "__main__":
    raise SystemExit(main_verb("replay"))
