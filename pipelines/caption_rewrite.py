"""A second pass over a model's captions: a language model reads them and writes the final ones.

It asks as captions are asked (caption_ask.py), in a table of answers of its own, and opens no film.
Whatever goes wrong with it leaves the first caption as it was, with what became of the second.
"""

import json
from collections.abc import Collection

from curation.captions.answer import CaptionStatus
from curation.captions.config import RewriteConfig
from curation.captions.description import Description, render
from curation.captions.request import FIRST
from curation.captions.rewrite import check_rewrite, sources_of
from curation.media import Limits
from pipelines.caption_ask import answers
from pipelines.ledger import Ledger, Row


def rewrite(
    config: RewriteConfig,
    ledger: Ledger,
    clips: list[Row],
    captions: list[Row],
    files: dict[str, Row],
    limits: Limits,
    replay: Collection[str] = (),
) -> None:
    """Put the second caption into those rows of `captions` that a model wrote, where it is good.

    `captions` are in the order of `clips`. Each such row's `rewrite` becomes the second answer's
    status. Raises ServerError when the model cannot be asked.
    """
    first = {row["clip_id"]: row for row in captions if row["provenance"] == "llm"}
    asked = [
        clip | {FIRST: json.loads(first[clip["clip_id"]]["record"])}
        for clip in clips
        if clip["clip_id"] in first
    ]
    told = answers(config, ledger, asked, files, limits, replay) if asked else {}
    for clip in asked:
        if answer := told.get(clip["clip_id"]):
            merge(first[clip["clip_id"]], answer, clip)


def merge(row: Row, answer: Row, clip: Row) -> None:
    """Make a caption's row the second caption's, or note why it stays the first."""
    row |= {"rewrite": answer["status"], "rewrite_detail": answer["detail"]}
    if answer["status"] != CaptionStatus.OK:
        return
    before = Description(**json.loads(row["record"]))
    after = Description(**json.loads(answer["record"]))
    try:
        check_rewrite(before, after, clip)
    except ValueError as error:
        row |= {"rewrite": CaptionStatus.REFUSED, "rewrite_detail": str(error)}
        return
    sources = sources_of(before, after, json.loads(row["sources"]), answer["teller"])
    row |= vars(render(after, row["provenance"]))
    row |= {"record": after.model_dump_json(), "sources": json.dumps(sources, sort_keys=True)}
