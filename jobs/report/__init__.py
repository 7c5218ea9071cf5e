"""One HTML page that shows the data, the training and the generated clips: `<out>/report.html`.

Why each clip was kept or dropped and how near it was, what each rule costs in hours, how the scores
lie, what the autoencoders keep. Media are inside the page (data: URIs, 32 MiB at the most, so that
it stays below 40 MB); it loads nothing, runs no script, and can be sent to anybody. Parts that do
not exist yet are left out, so it can be made at any time; a second report decodes nothing anew.
"""

from curation.files import write_text
from curation.progress import say
from jobs.cli import DONE
from jobs.config import Recipe
from jobs.report.facts import gather
from jobs.report.page import render

SECTIONS = ("policy",)


def run(recipe: Recipe, words: list[str]) -> int:  # noqa: ARG001 - every verb takes its words
    """Write the page and say where it is."""
    page, proof = render(gather(recipe))
    path = recipe.out / "report.html"
    write_text(path, page)
    if proof and proof.generated:
        found = proof.generated
        say(
            f"sync: {found.matched:.1%} of {found.onsets} generated onsets lie within "
            f"{proof.tolerance_ms:.0f} ms of an impact, {found.shuffled:.1%} with shuffled sounds"
        )
    say(f"report: {path} ({len(page) / 1e6:.1f} MB)")
    return DONE
