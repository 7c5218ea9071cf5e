"""The pass of yes/no questions: a model's answers about clips become columns that rules can use.

It asks as captions are asked (caption_ask.py), and keeps the answers as these are kept. It asks
only about clips that pass every rule without a question: whatever it heard of others, they are
dropped.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from operator import itemgetter

import numpy as np
import pyarrow as pa

from curation.captions.answer import CaptionStatus
from curation.captions.questions import ASK, YesNo
from curation.media import Limits
from curation.records import Reason, Status
from pipelines.ask_config import AskConfig
from pipelines.caption_ask import TOLD, answers, scanned_files
from pipelines.ledger import Ledger, Row
from pipelines.policy import Policy
from pipelines.tally import Tally
from pipelines.verdicts import asked, passing_unasked, scored_table


def ask(
    config: AskConfig,
    ledger: Ledger,
    scan: str,
    policies: Sequence[Policy],
    tables: Sequence[str] = (),
    limits: Limits | None = None,
    replay: Collection[str] = (),
) -> Tally:
    """Write `scores/asks@<fingerprint>`: a row a clip, a nullable boolean a question.

    `policies` are a policy and its phases, `tables` what they and the model know of a clip besides
    the scan's scores. A clip that nobody need ask about is `filtered`, unless it has its answers
    from before. With `replay` the model is asked only where it failed for these reasons. Raises
    ServerError when the model cannot be asked, ValueError for a policy that asks for more than a
    measure can tell.
    """
    clips = scored_table(ledger, scan, tables, TOLD.union(*map(asked, policies)))
    wanted = [passing_unasked(policy, clips) for policy in policies]
    open_clips = clips.filter(pa.array(np.logical_or.reduce(wanted))).to_pylist()
    open_clips.sort(key=itemgetter("path", "start_s"))
    files = scanned_files(ledger, scan)
    given = (files, limits or Limits(), replay)
    told = answers(config, ledger, open_clips, *given) if open_clips else {}
    name = f"scores/asks@{config.fingerprint()}"
    before = {row["clip_id"]: row for row in ledger.rows(name)}
    tally = Tally("ask", "clips", clips.num_rows)
    said: Counter[str] = Counter()
    for clip_id in clips["clip_id"].to_pylist():
        if answer := told.get(clip_id):
            before[clip_id] = row = answered(config, answer)
            said.update(key for key, value in row.items() if key.startswith(ASK) and value)
            tally.add(row["status"], row["reason"])
        else:
            before.setdefault(clip_id, unasked(config, clip_id))
            tally.add(Status.FILTERED, Reason.POLICY)
    ledger.replace(name, list(before.values()))
    yes = ", ".join(f"{said[ASK + question]} {question}" for question, _ in config.asks())
    tally.close(f"yes: {yes}; {name}")
    return tally


def answered(config: AskConfig, answer: Row) -> Row:
    """The row of a clip that a model was asked about."""
    good = answer["status"] == CaptionStatus.OK
    facts = {"status": Status.OK if good else Status.FAILED}
    facts |= {key: answer[key] for key in ("clip_id", "reason", "detail")}
    said = YesNo(**json.loads(answer["record"])).columns() if good else {}
    return unasked(config, answer["clip_id"]) | facts | said


def unasked(config: AskConfig, clip_id: str) -> Row:
    """The row of a clip that other rules drop: every answer is null."""
    return {
        "clip_id": clip_id,
        "status": Status.FILTERED,
        "reason": Reason.POLICY,
        "detail": "a rule without a question drops it",
        **{f"{ASK}{name}": None for name, _ in config.asks()},
    }
