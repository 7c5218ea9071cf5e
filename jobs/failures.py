"""What failed in which pass, why, and how often it was tried.

  reelmill failures recipe.yaml                     counts by reason, and the first of each
  reelmill failures recipe.yaml --reason timeout    only these; may stand more than once
  reelmill failures recipe.yaml --json              all of them, one JSON object a line

`attempts` counts tries that failed, over all runs. What is `unreadable` or `internal`, has no model
or no captioner is tried again by any rerun; the rest by `reelmill replay recipe.yaml --reason …`.
"""

import json
import sys
from collections import Counter
from collections.abc import Collection

from rich.console import Console
from rich.table import Table
from rich.text import Text

from curation.progress import say
from curation.records import clean
from jobs.cli import DONE, main_verb
from jobs.config import Recipe, RecipeError
from pipelines.dead_letters import DeadLetter, Tables, dead_letters

SECTIONS = ()
OPTIONS = ("reason",)
SWITCHES = ("json",)
SHOWN = 20  # of one reason in one pass
WIDE = 160  # columns of a table that goes into a file


def run(recipe: Recipe, words: list[str]) -> int:
    """List the dead letters of the recipe's data set."""
    letters = letters_of(recipe)
    if reasons := reasons_of(words):
        check_reasons(letters, reasons)
        letters = [letter for letter in letters if letter.reason in reasons]
    if "--json" in words:
        for letter in letters:
            sys.stdout.write(json.dumps(vars(letter)) + "\n")
        return DONE
    if not letters:
        say(f"failures: none in {recipe.data.ledger}")
        return DONE
    show(letters)
    return DONE


def letters_of(recipe: Recipe) -> list[DeadLetter]:
    """The dead letters of all passes that the recipe has."""
    asked, described = (
        f"scores/answers@{c.fingerprint()}" for c in (recipe.ask, recipe.caption.llm)
    )
    again = recipe.caption.rewrite
    tables = Tables(
        scan=recipe.scan.fingerprint(),
        words=recipe.speech.table(),
        judges=recipe.judge.tables(),
        asked=asked if recipe.ask.questions else None,
        captions=described if "llm" in recipe.caption.prefer else None,
        rewrites=f"scores/answers@{again.fingerprint()}" if again else None,
    )
    return dead_letters(recipe.data, tables)


def reasons_of(words: list[str]) -> frozenset[str]:
    """The values of `--reason`."""
    return frozenset(w.partition("=")[2] for w in words if w.startswith("--reason="))


def check_reasons(letters: list[DeadLetter], reasons: Collection[str]) -> None:
    """Raise RecipeError for a reason for which nothing failed, naming those that are there."""
    present = Counter(letter.reason for letter in letters)
    if absent := sorted(set(reasons) - set(present)):
        there = ", ".join(f"{reason} ({count})" for reason, count in present.most_common())
        raise RecipeError(
            f"--reason {', '.join(absent)}: nothing failed for that; "
            + (f"there are {there}" if there else "nothing has failed at all")
        )


def show(letters: list[DeadLetter]) -> None:
    """The table on standard output; texts of strangers are printed as they are, and in one line."""
    table = Table("pass", "reason", "tried", "input", "detail", box=None, pad_edge=False)
    groups = Counter((letter.step, letter.of, letter.reason) for letter in letters)
    shown: Counter[tuple[str, str, str]] = Counter()
    for letter in letters:
        group = (letter.step, letter.of, letter.reason)
        shown[group] += 1
        if shown[group] > SHOWN:
            continue
        name = letter.id if letter.step not in ("scan", "speech") else letter.path
        table.add_row(
            f"{letter.step} {letter.of}".rstrip(),
            letter.reason,
            str(letter.attempts or ""),
            Text(clean(name), overflow="fold"),
            Text(clean(letter.detail), overflow="fold"),
        )
        if shown[group] == SHOWN < groups[group]:
            table.add_row("", "", "", f"and {groups[group] - SHOWN} more: --json lists all", "")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    console.print(table)
    for (step, of, reason), count in groups.most_common():
        console.print(f"{count} {reason} in {step} {of}".rstrip(), markup=False)


if __name__ == "__main__":
    raise SystemExit(main_verb("failures"))
