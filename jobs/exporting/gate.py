"""Whether weights pass: the recipe's thresholds against what `evaluate` found of their clips."""

import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from curation.records import clean
from jobs.evaluating.page import short
from jobs.export_config import BETTER, ExportConfig

MAX_BYTES = 256 << 20


class RefusedError(RuntimeError):
    """The weights do not pass; the message says by what."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Found(_Part):
    """A metric's mean over clips with its 95 % interval."""

    value: float
    low: float
    high: float
    clips: int


class _Line(_Part):
    name: str
    values: dict[str, Found | None]


class _Rejected(_Part):
    file: str
    why: str


class _Folder(_Part):
    path: str
    weights: str | None = None
    rejected: list[_Rejected]


class Evaluated(_Part):
    """What `evaluate.json` says of the clips in `folders.made`."""

    metrics: list[_Line]
    folders: dict[str, _Folder]


@dataclass(frozen=True)
class Verdict:
    """A required metric, what was found, and why that is not enough, if it is not."""

    metric: str
    wanted: float
    found: Found | None
    fewest: int

    @property
    def worse(self) -> float:
        """The end of the interval that has to be good enough; NaN where nothing was found."""
        if self.found is None:
            return math.nan
        return self.found.low if BETTER[self.metric] == "higher" else self.found.high

    @property
    def lacking(self) -> str:
        """Why it does not pass; empty where it does."""
        if self.found is None:
            return f"{self.metric} was not measured"
        if self.found.clips < self.fewest:
            return f"{self.metric} stands on {self.found.clips} clips, not {self.fewest}"
        gap = self.wanted - self.worse
        gap = gap if BETTER[self.metric] == "higher" else -gap
        if gap <= 0:
            return ""
        side = "below" if BETTER[self.metric] == "higher" else "above"
        return f"{self.told}: {short(self.worse)} is {short(gap)} {side} {short(self.wanted)}"

    @property
    def told(self) -> str:
        """The metric with its interval."""
        if self.found is None:
            return f"{self.metric} not measured"
        one = self.found
        ends = f"[{short(one.low)}…{short(one.high)}]"
        return f"{self.metric} {short(one.value)} {ends} of {one.clips} clips"


def judged(path: Path, weights: str, config: ExportConfig) -> list[Verdict]:
    """The required metrics of the evaluation at `path`, which all pass.

    Raises RefusedError: nothing is required, the evaluation is damaged or of other weights (sha256
    of the file) or left clips out, or a metric does not pass.
    """
    if not config.require:
        raise RefusedError("export.require is empty: nothing says what is good enough")
    found = read(path)
    made = found.folders.get("made")
    if made is None or made.weights != weights:
        of = "other weights, of several, or with adapters or a refiner"
        raise RefusedError(
            f"{path} is of clips that were made with {of}; run `generate` and `evaluate` "
            "with the checkpoint that is exported"
        )
    if made.rejected:
        first = made.rejected[0]
        raise RefusedError(
            f"{path} leaves out {len(made.rejected)} clips that could not be read, "
            f"{clean(first.file, 200)} among them; make them again and evaluate"
        )
    values = {line.name: line.values.get("made") for line in found.metrics}
    verdicts = [
        Verdict(name, wanted, values.get(name), config.fewest)
        for name, wanted in config.require.items()
    ]
    if lacking := [verdict.lacking for verdict in verdicts if verdict.lacking]:
        raise RefusedError("; ".join(lacking))
    return verdicts


def read(path: Path) -> Evaluated:
    """An evaluation as `evaluate` wrote it. Raises RefusedError naming the file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RefusedError(f"{path} is larger than {MAX_BYTES} bytes; is it an evaluation?")
        return Evaluated.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RefusedError(f"there is no evaluation at {path}; run `reelmill evaluate`") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise RefusedError(
            f"{path} is not an evaluation of this version ({where or 'no JSON'}); "
            "run `reelmill evaluate` again"
        ) from error
