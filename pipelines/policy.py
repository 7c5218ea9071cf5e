"""What a policy says: checks on scores, rules made of them, caps, and stricter phases.

Apart from verdicts.py, which applies it, so that a recipe loads without Arrow.
"""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from curation.captions.questions import ASK
from curation.judges.columns import COLUMNS
from curation.scores import AGREEMENT, ALIKE, FACTS, SCORES, SHOWN, TEXT_FACTS
from curation.settings import Settings
from curation.spoken import SPOKEN

PHASE = r"^[a-z][a-z0-9_-]{0,31}$"


# Every score of every pass: what a check may ask for besides the facts of a clip.
ALL_SCORES = (
    SCORES
    | SPOKEN
    | ALIKE
    | AGREEMENT
    | {n: s for table in COLUMNS.values() for n, s in table.items()}
)
KNOWN = (*ALL_SCORES, *FACTS, *SHOWN, *TEXT_FACTS)


def is_text(name: str) -> bool:
    """Whether a score or fact is a name (or several, parted by commas) and not a number."""
    return name in TEXT_FACTS or (name in ALL_SCORES and ALL_SCORES[name].text)


class Check(Settings):
    """One question about a clip: a score in a range, a name among names, or a group of checks.

    A score that is not available answers neither yes nor no; `any` and `all` follow Kleene: `any`
    is yes when one member is, `all` is no when one member is, else what is unknown stays unknown.
    """

    score: str = Field("", description="a score or fact of a clip")
    min: float | None = Field(None, description="smallest value that passes")
    max: float | None = Field(None, description="largest value that passes")
    one_of: tuple[str, ...] = Field((), description="names of which the clip must have one")
    none_of: tuple[str, ...] = Field((), description="names of which the clip may have none")
    present: bool | None = Field(None, description="whether the clip must have any value at all")
    any: tuple["Check", ...] = Field((), description="checks of which one must pass")
    all: tuple["Check", ...] = Field((), description="checks that must all pass")

    @model_validator(mode="after")
    def acts(self) -> "Check":
        """Refuse a check that asks nothing, or something that no clip could answer."""
        if sum(map(bool, (self.score, self.any, self.all))) != 1:
            raise ValueError("a check has exactly one of `score`, `any` and `all`")
        if not self.score:
            return self
        name = self.score
        if name not in KNOWN and not name.startswith(ASK):  # the recipe knows its questions
            raise ValueError(f"unknown score {name!r}; scores are {', '.join(sorted(KNOWN))}")
        ranged = self.min is not None or self.max is not None
        if ranged and is_text(name):
            raise ValueError(f"{name} is a name: use one_of, none_of or present, not min or max")
        if (self.one_of or self.none_of) and not is_text(name):
            raise ValueError(f"{name} is a number: use min, max or present, not names")
        if not ranged and not self.one_of and not self.none_of and self.present is None:
            raise ValueError(
                f"the check on {name} asks nothing; give it min, max, one_of, none_of or present"
            )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no {name} is at least {self.min:g} and at most {self.max:g}")
        return self

    def leaves(self) -> Iterator["Check"]:
        """The checks of single scores in here."""
        if self.score:
            yield self
        for check in (*self.any, *self.all):
            yield from check.leaves()


class Rule(Check):
    """A check that every clip must pass, or every clip that `when` speaks of."""

    name: str = Field("", description="name in verdicts; the score's name without it")
    when_null: str = Field(
        "drop", pattern="^(keep|drop)$", description="what an unknown answer means"
    )
    when: Check | None = Field(None, description="the rule speaks only of clips that pass this")

    @model_validator(mode="after")
    def named(self) -> "Rule":
        """A group has no score to be called by; captions come after the first verdicts."""
        if not self.name and not self.score:
            raise ValueError("a rule with `any` or `all` needs a `name`")
        if self.of_captions() and self.when_null == "drop":
            raise ValueError(
                f"{self.title}: only kept clips are captioned, so dropping what has no caption yet "
                "drops all; give the rule `when_null: keep`"
            )
        return self

    def of_captions(self) -> bool:
        """Whether it asks how captions agree, which only a second `decide` can know."""
        return any(check.score in AGREEMENT for check in self.leaves())

    def conditions(self) -> Iterator[Check]:
        """The checks of single scores in `when`."""
        yield from self.when.leaves() if self.when else ()

    @property
    def title(self) -> str:
        """What verdicts call it."""
        return self.name or self.score


class Balance(Settings):
    """Caps, so that no kind of clip drowns the others. A kind is one value of each `by`."""

    by: tuple[str, ...] = Field(
        min_length=1, description="names whose combinations are kinds; of several the first counts"
    )
    most: float = Field(gt=0, le=1, description="largest share of the kept hours of one kind")
    best: str = Field("", description="score by which a full kind keeps its highest; '' by lot")

    @model_validator(mode="after")
    def known(self) -> "Balance":
        """Refuse names that are none."""
        wrong = [n for n in self.by if n not in KNOWN or not is_text(n)]
        if wrong:
            texts = sorted(n for n in KNOWN if is_text(n))
            raise ValueError(f"by: {', '.join(wrong)} must be among {', '.join(texts)}")
        if self.best and (self.best not in KNOWN or is_text(self.best)):
            raise ValueError(f"best: {self.best!r} is no score with numbers")
        return self


def default_rules() -> list[Rule]:
    """A sensible first policy: broken and useless clips go, taste stays with the person."""
    return [
        Rule(score="duplicate_of", present=False),
        Rule(score="has_sound", min=1),
        Rule(score="silence_share", max=0.95),
        Rule(score="clipped_share", max=0.02),
        Rule(score="black_share", max=0.2),
        Rule(score="frozen_share", max=0.85),
        # 60 of 60 freezes of 1.25 s in films of 2 s are above, 0 of 240 clean ones (freeze.py).
        Rule(score="freeze_s", max=1.0, when_null="keep"),
        # Bars are cropped, not dropped, as long as half of the picture is left: 2.39:1 between the
        # bars of 16:9 leaves 74 %, 4:3 in 16:9 leaves 75 %.
        Rule(score="bars", max=0.5),
        Rule(score="brightness", min=0.03, max=0.97),
        Rule(score="contrast", min=0.01),
        Rule(score="drift_ms", min=-80, max=80),
        # Null under 15 frames a second; above, offsets of confidence 2.5 are right within one frame
        # (docs/scores.md). An uncertain offset says nothing.
        Rule(
            score="sync_offset_ms",
            min=-150,
            max=150,
            when_null="keep",
            when=Check(score="sync_confidence", min=2.5),
        ),
    ]


class Phase(Settings):
    """What a phase of training asks beyond the policy's own rules."""

    rules: list[Rule] = Field(
        default_factory=list, description="further rules; one of an earlier name replaces it"
    )
    balance: Balance | None = Field(None, description="caps; none takes the policy's")


class Policy(Settings):
    """Which clips are worth training on."""

    rules: list[Rule] = Field(
        default_factory=default_rules, description="rules, all of which a clip must pass"
    )
    leak_guard: bool = Field(
        True, description="drop training clips that repeat a held-out one in picture or sound"
    )
    balance: Balance | None = Field(None, description="caps on kinds of clips among the kept")
    phases: dict[Annotated[str, StringConstraints(pattern=PHASE)], Phase] = Field(
        default_factory=dict, description="further policies over the same scores, by name"
    )

    @model_validator(mode="after")
    def distinct(self) -> "Policy":
        """Two rules of one name could not be told apart in a verdict."""
        for rules in (self.rules, *(phase.rules for phase in self.phases.values())):
            titles = [rule.title for rule in rules]
            twice = {t for t in titles if titles.count(t) > 1}
            if twice:
                raise ValueError(
                    f"two rules are named {', '.join(sorted(twice))}; give one a `name`"
                )
        return self

    def questions(self) -> set[str]:
        """Names of the questions to a model that rules ask for, in any phase."""
        rules = [*self.rules, *(rule for phase in self.phases.values() for rule in phase.rules)]
        checks = [c for rule in rules for c in (*rule.leaves(), *rule.conditions())]
        return {c.score.removeprefix(ASK) for c in checks if c.score.startswith(ASK)}

    def of_captions(self) -> bool:
        """Whether a rule asks how captions agree, in any phase."""
        rules = [*self.rules, *(rule for phase in self.phases.values() for rule in phase.rules)]
        return any(rule.of_captions() for rule in rules)

    def phase(self, name: str) -> "Policy":
        """The policy of a phase; '' is the policy itself. Raises ValueError."""
        if not name:
            return self.model_copy(update={"phases": {}})
        if name not in self.phases:
            there = ", ".join(self.phases) or "none"
            raise ValueError(f"the policy has no phase {name!r}; its phases: {there}")
        phase = self.phases[name]
        mine = {rule.title for rule in phase.rules}
        rules = [rule for rule in self.rules if rule.title not in mine] + phase.rules
        balance = phase.balance or self.balance
        return self.model_copy(update={"rules": rules, "balance": balance, "phases": {}})
