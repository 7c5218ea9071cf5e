"""Scores become verdicts by rules, in seconds and without touching media."""

from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from curation.files import fingerprint
from curation.progress import say
from curation.records import Reason, Status
from curation.scores import FACTS, SCORES
from curation.settings import Settings
from pipelines.ledger import Ledger, Row
from pipelines.tally import Tally


class Span(Settings):
    """A range of one score."""

    score: str = Field(description="a score or fact of a clip")
    min: float | None = Field(None, description="smallest value inside")
    max: float | None = Field(None, description="largest value inside")

    @field_validator("score")
    @classmethod
    def known(cls, name: str) -> str:
        """Refuse a rule about a score that no scan writes: it would never act."""
        if name not in SCORES and name not in FACTS:
            raise ValueError(f"unknown score {name!r}; scores are {', '.join((*SCORES, *FACTS))}")
        return name

    def inside(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which values lie in the range; NaN lies nowhere."""
        low = -np.inf if self.min is None else self.min
        high = np.inf if self.max is None else self.max
        return (values >= low) & (values <= high)


class Rule(Span):
    """A clip passes when the score lies in [min, max]."""

    name: str = Field("", description="name in verdicts; the score's name without it")
    when_null: str = Field(
        "drop", pattern="^(keep|drop)$", description="what a score that is not available means"
    )
    when: Span | None = Field(None, description="the rule speaks only of clips in this range")

    @model_validator(mode="after")
    def acts(self) -> "Rule":
        """Refuse a rule that can drop nothing, or that asks a name to be a number."""
        text = self.score in SCORES and SCORES[self.score].text
        if text and (self.min is not None or self.max is not None or self.when_null != "keep"):
            raise ValueError(
                f"{self.score} is a name, not a number: such a rule drops clips that have one; "
                "write only `when_null: keep`"
            )
        if not text and self.min is None and self.max is None and self.when_null == "keep":
            raise ValueError(f"the rule on {self.score} has no min and no max, so it drops nothing")
        return self

    @property
    def title(self) -> str:
        """What verdicts call it."""
        return self.name or self.score


def default_rules() -> list[Rule]:
    """A sensible first policy: broken and useless clips go, taste stays with the person."""
    return [
        Rule(score="duplicate_of", when_null="keep"),
        Rule(score="has_sound", min=1),
        Rule(score="silence_share", max=0.95),
        Rule(score="clipped_share", max=0.02),
        Rule(score="black_share", max=0.2),
        Rule(score="frozen_share", max=0.85),
        Rule(score="bars", max=0.05),
        Rule(score="brightness", min=0.03, max=0.97),
        Rule(score="contrast", min=0.01),
        Rule(score="drift_ms", min=-80, max=80),
        # Offsets of confidence 2.5 were right within one frame on 85 of 85 clips (sync.py), and one
        # frame is 125 ms at 8 a second; an uncertain offset says nothing.
        Rule(
            score="sync_offset_ms",
            min=-150,
            max=150,
            when_null="keep",
            when=Span(score="sync_confidence", min=2.5),
        ),
    ]


class Policy(Settings):
    """Which clips are worth training on."""

    rules: list[Rule] = Field(
        default_factory=default_rules, description="rules, all of which a clip must pass"
    )

    @model_validator(mode="after")
    def distinct(self) -> "Policy":
        """Two rules of one name could not be told apart in a verdict."""
        titles = [rule.title for rule in self.rules]
        twice = {t for t in titles if titles.count(t) > 1}
        if twice:
            raise ValueError(f"two rules are named {', '.join(sorted(twice))}; give one a `name`")
        return self


@dataclass(frozen=True)
class Step:
    """One line of the funnel: what a rule took in its turn, and what no other rule would take."""

    title: str
    failed: int
    removed: int
    removed_hours: float
    alone: int
    left: int
    left_hours: float


@dataclass(frozen=True)
class Decision:
    """Verdicts of one policy over one scan."""

    rows: list[Row]
    funnel: list[Step]
    seconds: NDArray[np.float64]


def judge(policy: Policy, clips: list[Row]) -> Decision:
    """Verdicts for clips with their scores and facts; the first rule that fails names it."""
    seconds = np.array([c["seconds"] for c in clips], dtype=np.float64)
    fails = np.zeros((len(policy.rules), len(clips)), dtype=bool)
    for index, rule in enumerate(policy.rules):
        fails[index] = failing(rule, clips)
    votes = fails.sum(axis=0)
    alive = np.ones(len(clips), dtype=bool)
    funnel = []
    for rule, fail in zip(policy.rules, fails, strict=True):
        now = alive & fail
        alive &= ~fail
        funnel.append(
            Step(
                rule.title,
                int(fail.sum()),
                int(now.sum()),
                float(seconds[now].sum()) / 3600,
                int((fail & (votes == 1)).sum()),
                int(alive.sum()),
                float(seconds[alive].sum()) / 3600,
            )
        )
    rows = [
        {"clip_id": clip["clip_id"], "status": Status.OK, "reason": None, "detail": None}
        if alive[i]
        else refusal(clip, policy.rules[int(np.argmax(fails[:, i]))])
        for i, clip in enumerate(clips)
    ]
    return Decision(rows, funnel, seconds)


def failing(rule: Rule, clips: list[Row]) -> NDArray[np.bool_]:
    """Which clips the rule drops, [clips]."""
    raw = [clip.get(rule.score) for clip in clips]
    if rule.score in SCORES and SCORES[rule.score].text:
        return np.array([value is not None for value in raw], dtype=bool)
    values = numbers(raw)
    null = np.isnan(values)
    fail = np.where(null, rule.when_null == "drop", ~rule.inside(values))
    if rule.when is not None:
        fail &= rule.when.inside(numbers([clip.get(rule.when.score) for clip in clips]))
    return fail


def numbers(raw: list[Any]) -> NDArray[np.float64]:
    """Scores as float64 with NaN for null."""
    return np.array([np.nan if value is None else value for value in raw], dtype=np.float64)


def refusal(clip: Row, rule: Rule) -> Row:
    """The verdict of a clip that `rule` drops."""
    value = clip.get(rule.score)
    if value is None or (isinstance(value, float) and isnan(value)):
        detail = f"{rule.score} is not available"
    elif isinstance(value, str):
        detail = f"{rule.score} {value}"
    elif rule.min is not None and value < rule.min:
        detail = f"{rule.score} {value:.4g} < {rule.min:g}"
    else:
        detail = f"{rule.score} {value:.4g} > {rule.max:g}"
    reason = f"{Reason.POLICY}:{rule.title}"
    return {
        "clip_id": clip["clip_id"],
        "status": Status.FILTERED,
        "reason": reason,
        "detail": detail,
    }


def scored_clips(ledger: Ledger, scan_fingerprint: str) -> list[Row]:
    """Clips of one scan with facts and scores in one row, sorted by id."""
    scores = {row["clip_id"]: row for row in ledger.rows(f"scores/scan@{scan_fingerprint}")}
    return [
        clip | scores[clip["clip_id"]] | {"seconds": clip["end_s"] - clip["start_s"]}
        for clip in ledger.clips(scan_fingerprint).to_pylist()
        if clip["clip_id"] in scores
    ]


def verdict_fingerprint(policy: Policy, scan_fingerprint: str) -> str:
    """Names the verdicts of this policy over the scores of that scan."""
    return fingerprint({"policy": policy.model_dump(mode="json"), "scan": scan_fingerprint})


def decide(policy: Policy, ledger: Ledger, scan_fingerprint: str) -> Tally:
    """Write `verdicts/<fingerprint>` and print the funnel."""
    clips = scored_clips(ledger, scan_fingerprint)
    tally = Tally("decide", "clips", len(clips))
    decision = judge(policy, clips)
    tally.add_all(decision.rows)
    name = verdict_fingerprint(policy, scan_fingerprint)
    ledger.replace(f"verdicts/{name}", decision.rows)
    for line in funnel_lines(decision):
        say(line)
    tally.close(f"verdicts/{name}")
    return tally


def funnel_lines(decision: Decision) -> list[str]:
    """The funnel as text: per rule what it removed in its turn and what it alone removes."""
    hours = decision.seconds.sum() / 3600
    lines = [
        f"{'rule':<20} {'removed':>8} {'hours':>8} {'alone':>6} {'left':>8} {'hours':>8}",
        f"{'(all clips)':<20} {'':>8} {'':>8} {'':>6} {len(decision.rows):>8} {hours:>8.3f}",
    ]
    lines += [
        f"{s.title:<20} {s.removed:>8} {s.removed_hours:>8.3f} {s.alone:>6} {s.left:>8} "
        f"{s.left_hours:>8.3f}"
        for s in decision.funnel
    ]
    return lines
