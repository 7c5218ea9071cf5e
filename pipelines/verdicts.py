"""Scores become verdicts by a policy, in seconds and without touching media.

Everything is a column: a million clips are one Arrow table and a few boolean arrays.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.captions.questions import ASK
from curation.files import fingerprint
from curation.progress import say
from curation.records import Reason, Status
from curation.scores import CROP, FLOORS, SHOWN
from pipelines.balance import over_cap
from pipelines.leaks import REPEATS, leaking
from pipelines.ledger import SCHEMAS, Ledger, Row
from pipelines.policy import ALL_SCORES, Check, Policy, Rule, is_text
from pipelines.tally import Tally

Flags = NDArray[np.bool_]
LEAK, BALANCE = "leak", "balance"  # what verdicts call them
MOST_TEXT = 60  # characters of a name in a verdict's detail


@dataclass(frozen=True)
class Step:
    """One line of the funnel: what a rule fails by itself, took in its turn, and takes alone.

    Clips, and hours of them. `failed` counts what no order of the rules changes; `alone` is what
    would come back without the rule.
    """

    title: str
    failed: int
    failed_hours: float
    removed: int
    removed_hours: float
    alone: int
    alone_hours: float
    left: int
    left_hours: float


@dataclass(frozen=True)
class Decision:
    """Verdicts of one policy over one scan: a table as the ledger keeps it, in the clips' order."""

    verdicts: pa.Table
    funnel: list[Step]
    seconds: NDArray[np.float64]

    @property
    def kept(self) -> Flags:
        """Which clips pass, [clips]."""
        return np.asarray(pc.equal(self.verdicts["status"], str(Status.OK)))


def scored_table(
    ledger: Ledger, scan: str, tables: Sequence[str] = (), names: Collection[str] | None = None
) -> pa.Table:
    """Clips of a scan with their facts and scores as columns, sorted by id.

    `tables` are further score tables; a clip that one of them lacks has nulls there. Clips without
    scan scores (their film is not finished) are left out. With `names` only those scores are read.
    """
    clips = ledger.clips(scan)
    scores = ledger.read(f"scores/scan@{scan}", names)
    clips = clips.filter(pc.is_in(clips["clip_id"], value_set=scores["clip_id"]))
    sources = ledger.read("sources")
    sources = sources.filter(pc.equal(sources["fingerprint"], scan))
    licence = beside(clips, "path", sources.select(["path", "licence"]))
    clips = clips.append_column("licence", licence["licence"])
    clips = clips.append_column("seconds", pc.subtract(clips["end_s"], clips["start_s"]))
    for other in (scores, *(ledger.read(name, names) for name in tables)):
        found = beside(clips, "clip_id", other)
        for name in found.column_names:
            known = name in ALL_SCORES or name.startswith(ASK)
            if known and name not in clips.column_names:
                clips = clips.append_column(name, found[name])
    return with_shown(clips) if set(CROP) <= set(clips.column_names) else clips


def with_shown(clips: pa.Table) -> pa.Table:
    """Clips with the size of the picture without its bars, in pixels of the film."""
    top, bottom, left, right = (clips[name] for name in CROP)
    for name, side, first, last in zip(
        SHOWN, ("width", "height"), (left, top), (right, bottom), strict=True
    ):
        share = pc.subtract(pc.subtract(1.0, first), last)
        clips = clips.append_column(name, pc.multiply(share, clips[side]))
    return clips


def asked(policy: Policy) -> set[str]:
    """The scores that decide: what judging a policy has to read."""
    checks = [c for rule in policy.rules for c in (*rule.leaves(), *rule.conditions())]
    names = {check.score for check in checks} | set(REPEATS)
    if policy.balance:
        names |= {*policy.balance.by, policy.balance.best}
    names |= set(CROP) if names & set(SHOWN) else set()
    return names | {FLOORS[name] for name in names & set(FLOORS)}


def beside(clips: pa.Table, key: str, other: pa.Table) -> pa.Table:
    """The rows of `other` in the order of `clips`, by `key`; nulls where there is none."""
    if clips[key].equals(other[key]):
        return other
    return other.take(pc.index_in(clips[key], value_set=other[key].combine_chunks()))


def scored_clips(ledger: Ledger, scan: str, tables: Sequence[str] = ()) -> list[Row]:
    """The same as dictionaries, for tables that fit a person's patience."""
    rows: list[Row] = scored_table(ledger, scan, tables).to_pylist()
    return rows


def judge(policy: Policy, clips: pa.Table) -> Decision:
    """Verdicts for clips with their scores and facts; the first rule that fails names it.

    Raises ValueError for a rule that asks for more than a measure can tell on these clips.
    """
    check_floors(policy, clips)
    seconds = clips["seconds"].to_numpy()
    count = clips.num_rows
    fails = np.zeros((len(policy.rules), count), dtype=bool)
    for index, rule in enumerate(policy.rules):
        fails[index] = failing(rule, clips)
    votes = fails.sum(axis=0)
    alive = np.ones(count, dtype=bool)
    reason, detail = np.full(count, None, object), np.full(count, None, object)
    funnel = []
    for rule, fail in zip(policy.rules, fails, strict=True):
        now = alive & fail
        alive &= ~fail
        funnel.append(step(rule.title, fail, now, fail & (votes == 1), alive, seconds))
        reason[now] = f"{Reason.POLICY}:{rule.title}"
        detail[now] = details(rule, clips.filter(pa.array(now)))
    if policy.leak_guard:
        leak, why = leaking(clips, alive)
        alive &= ~leak
        funnel.append(step(LEAK, leak, leak, leak, alive, seconds))
        reason[leak] = f"{Reason.POLICY}:{LEAK}"
        detail[leak] = why[leak]
    if policy.balance:
        over, why = over_cap(policy.balance, clips, alive)
        alive &= ~over
        funnel.append(step(BALANCE, over, over, over, alive, seconds))
        reason[over] = f"{Reason.POLICY}:{BALANCE}"
        detail[over] = why[over]
    status = np.where(alive, str(Status.OK), str(Status.FILTERED)).astype(object)
    columns = [clips["clip_id"], pa.array(status), pa.array(reason), pa.array(detail)]
    return Decision(pa.table(columns, schema=SCHEMAS["verdicts"]), funnel, seconds)


def step(
    title: str, fail: Flags, now: Flags, alone: Flags, alive: Flags, seconds: NDArray[np.float64]
) -> Step:
    """One line of the funnel."""
    return Step(
        title,
        *amount(fail, seconds),
        *amount(now, seconds),
        *amount(alone, seconds),
        *amount(alive, seconds),
    )


def amount(flags: Flags, seconds: NDArray[np.float64]) -> tuple[int, float]:
    """(clips, hours) of the clips that are flagged."""
    return int(flags.sum()), float(seconds[flags].sum()) / 3600


def passing_unasked(policy: Policy, clips: pa.Table) -> Flags:
    """Which clips pass every rule that holds no question to a model, [clips].

    Raises ValueError as `judge` does.
    """
    check_floors(policy, clips)
    passing = np.ones(clips.num_rows, dtype=bool)
    for rule in policy.rules:
        if not any(c.score.startswith(ASK) for c in (*rule.leaves(), *rule.conditions())):
            passing &= ~failing(rule, clips)
    return passing


def failing(rule: Rule, clips: pa.Table) -> Flags:
    """Which clips the rule drops, [clips]."""
    yes, known = answers(rule, clips)
    fail = np.where(known, ~yes, rule.when_null == "drop")
    if rule.when is not None:
        asked, sure = answers(rule.when, clips)
        fail &= asked & sure
    return fail


def answers(check: Check, clips: pa.Table) -> tuple[Flags, Flags]:
    """(yes, known) for each clip, [clips] both; yes is False where the answer is not known."""
    if check.score:
        return leaf_answers(check, clips)
    parts = [answers(part, clips) for part in (check.any or check.all)]
    yes = np.stack([yes for yes, _ in parts])
    known = np.stack([known for _, known in parts])
    if check.any:
        some: Flags = np.logical_or.reduce(yes)
        return some, some | np.logical_and.reduce(known)
    every: Flags = np.logical_and.reduce(yes)
    return every, every | np.logical_or.reduce(known & ~yes)


def leaf_answers(check: Check, clips: pa.Table) -> tuple[Flags, Flags]:
    """The answers to a check of one score."""
    if is_text(check.score):
        yes, there = text_answers(check, clips)
    else:
        values = numbers(clips, check.score)
        there = ~np.isnan(values)
        low = -np.inf if check.min is None else check.min
        high = np.inf if check.max is None else check.max
        yes = (values >= low) & (values <= high)
        if check.score in FLOORS:  # finer than the measure: not known
            there = there & ~(numbers(clips, FLOORS[check.score]) > tolerance(check))
            yes = yes & there
    if check.present is None:
        return yes, there
    if check.min is None and check.max is None and not check.one_of and not check.none_of:
        return there == check.present, np.ones(len(there), dtype=bool)
    return yes & (there == check.present), np.ones(len(there), dtype=bool)


def text_answers(check: Check, clips: pa.Table) -> tuple[Flags, Flags]:
    """The answers to one_of and none_of: names are compared once each, not once a clip."""
    words = texts(clips, check.score)
    coded = words.dictionary_encode()
    wanted, barred = set(check.one_of), set(check.none_of)
    good = [
        (not wanted or bool(wanted & names)) and not barred & names
        for names in ({n.strip() for n in text.split(",")} for text in coded.dictionary.to_pylist())
    ]
    there = np.asarray(pc.is_valid(words))
    codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    yes = np.array([*good, False])[codes] & there if good else np.zeros(len(there), dtype=bool)
    return yes, there


def numbers(clips: pa.Table, name: str) -> NDArray[np.float64]:
    """A score as float64 [clips] with NaN for null, and for a table without it."""
    if name not in clips.column_names:
        return np.full(clips.num_rows, np.nan)
    column = clips[name].cast(pa.float64())
    values: NDArray[np.float64] = column.to_numpy()
    return values


def texts(clips: pa.Table, name: str) -> pa.Array:
    """A name as strings with null, also for a table without it."""
    if name not in clips.column_names:
        return pa.nulls(clips.num_rows, pa.string())
    column = clips[name].combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def tolerance(check: Check) -> float:
    """The finest distinction that a check asks for: the limit nearest to zero."""
    return min(abs(limit) for limit in (check.min, check.max, np.inf) if limit is not None)


def check_floors(policy: Policy, clips: pa.Table) -> None:
    """Raise ValueError for a limit below what its measure resolves on every one of these clips."""
    for rule in policy.rules:
        for check in rule.leaves():
            if check.score not in FLOORS:
                continue
            floors = numbers(clips, FLOORS[check.score])
            finest = np.nanmin(floors, initial=np.inf)
            if np.isfinite(finest) and tolerance(check) < finest:
                raise ValueError(
                    f"the rule {rule.title} asks {check.score} for {tolerance(check):g}, but on "
                    f"these clips it resolves no finer than {finest:g} "
                    f"({FLOORS[check.score]}); set min and max at least that far from 0"
                )


def details(rule: Rule, clips: pa.Table) -> NDArray[np.object_]:
    """Why each of `clips` fails the rule, in words and numbers."""
    parts = [leaf_details(check, clips) for check in rule.leaves()]
    if len(parts) == 1:
        return np.array(parts[0], object)
    return np.array(["; ".join(words) for words in zip(*parts, strict=True)], object)


def leaf_details(check: Check, clips: pa.Table) -> list[str]:
    """What each clip answers to the check of one score."""
    name = check.score
    if is_text(name):
        return [
            f"{name} is not available" if value is None else f"{name} {value[:MOST_TEXT]}"
            for value in texts(clips, name).to_pylist()
        ]
    low = -np.inf if check.min is None else check.min
    high = np.inf if check.max is None else check.max
    return [
        f"{name} is not available"
        if value != value  # noqa: PLR0124 - NaN
        else f"{name} {value:.4g} < {low:g}"
        if value < low
        else f"{name} {value:.4g} > {high:g}"
        if value > high
        else f"{name} {value:.4g}"
        for value in numbers(clips, name).tolist()
    ]


def verdict_fingerprint(policy: Policy, scan: str, tables: Sequence[str] = ()) -> str:
    """Names the verdicts of this policy (of one phase) over the scores of that scan."""
    values = policy.phase("").model_dump(mode="json")
    return fingerprint({"policy": values, "scan": scan, "tables": sorted(tables)})


def decide(
    policy: Policy, ledger: Ledger, scan: str, tables: Sequence[str] = (), phase: str = ""
) -> Tally:
    """Write `verdicts/<fingerprint>` of a phase and print the funnel. Raises ValueError."""
    policy = policy.phase(phase)
    clips = scored_table(ledger, scan, tables, asked(policy))
    tally = Tally(f"decide {phase}".strip(), "clips", clips.num_rows)
    decision = judge(policy, clips)
    for status, count in counts(decision.verdicts["status"]):
        tally.status[Status(status)] += count
    for reason, count in counts(decision.verdicts["reason"].drop_null()):
        tally.reasons[reason] += count
    name = verdict_fingerprint(policy, scan, tables)
    ledger.replace(f"verdicts/{name}", decision.verdicts)
    for line in funnel_lines(decision):
        say(line)
    tally.close(f"verdicts/{name}")
    return tally


def counts(column: pa.ChunkedArray) -> list[tuple[str, int]]:
    """How often each value stands in a column."""
    return [(row["values"], row["counts"]) for row in column.value_counts().to_pylist()]


def funnel_lines(decision: Decision) -> list[str]:
    """The funnel as text: per rule what it removed in its turn and what it alone removes."""
    hours = decision.seconds.sum() / 3600
    total = decision.verdicts.num_rows
    lines = [
        f"{'rule':<20} {'removed':>8} {'hours':>8} {'alone':>6} {'left':>8} {'hours':>8}",
        f"{'(all clips)':<20} {'':>8} {'':>8} {'':>6} {total:>8} {hours:>8.3f}",
    ]
    lines += [
        f"{s.title:<20} {s.removed:>8} {s.removed_hours:>8.3f} {s.alone:>6} {s.left:>8} "
        f"{s.left_hours:>8.3f}"
        for s in decision.funnel
    ]
    return lines
