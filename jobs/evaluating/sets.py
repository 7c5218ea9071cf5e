"""What needs more than one clip: distances to a reference, pairs with it, pairs of two folders."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from jobs.evaluating.clips import Clip
from jobs.evaluating.distances import Floats, divergence, frechet, halves, inception, of_sets
from jobs.evaluating.features import Features
from jobs.evaluating.metrics import Metric
from jobs.evaluating.scores import Scores
from jobs.evaluating.timing import ONSET_S, f1
from jobs.proving.tables import Estimate, estimate


@dataclass(frozen=True)
class Scored:
    """A clip with its scores, and what sets are compared by."""

    clip: Clip
    scores: Scores
    features: Features


@dataclass
class Folder:
    """What was measured in a folder: in = scored + rejected."""

    path: str
    scored: list[Scored] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)  # file, why

    @property
    def step(self) -> int | None:
        """The training step that all clips are of, None where they are not of one."""
        steps = {one.clip.step for one in self.scored}
        return steps.pop() if len(steps) == 1 else None

    @property
    def weights(self) -> str | None:
        """The weights that alone made all clips, None where they are not of one checkpoint."""
        made = {one.clip.weights for one in self.scored}
        return made.pop() if len(made) == 1 else None

    @property
    def refused(self) -> float:
        """Share of files that could not be read."""
        return len(self.rejected) / max(1, len(self.rejected) + len(self.scored))

    def rows(self, name: str) -> list[Floats]:
        """Each clip's features of a kind."""
        return [one.features.rows[name] for one in self.scored if name in one.features.rows]

    def logits(self, name: str) -> list[Floats]:
        """Each clip's logits as a set of one row."""
        there = [one.features.logits.get(name) for one in self.scored]
        return [found[None] for found in there if found is not None]


@dataclass(frozen=True)
class Line:
    """A metric's value in each folder, by role, and how two folders differ on the same requests."""

    metric: Metric
    values: dict[str, Estimate | None]
    difference: Estimate | None = None  # second folder − first, over pairs
    better: float | None = None  # share of pairs in which the second is better; half for equals

    def card(self) -> dict[str, Any]:
        """As JSON."""
        found = {role: asdict(value) if value else None for role, value in self.values.items()}
        more = {"difference": asdict(self.difference) if self.difference else None}
        return {**asdict(self.metric), "values": found, **more, "better_share": self.better}


def pairs(a: Sequence[Clip], b: Sequence[Clip]) -> list[tuple[int, int]]:
    """Places of clips that belong together: of one file name, else of one prompt and seed, else
    the k-th clips of one prompt. Each clip is in one pair at most.
    """
    found: list[tuple[int, int]] = []
    for key in (by_name, by_request, by_prompt):
        used_a, used_b = {i for i, _ in found}, {j for _, j in found}
        waiting: dict[Any, list[int]] = {}
        for j, clip in enumerate(b):
            if j not in used_b and (name := key(clip)) is not None:
                waiting.setdefault(name, []).append(j)
        for i, clip in enumerate(a):
            if i not in used_a and waiting.get(key(clip)):
                found.append((i, waiting[key(clip)].pop(0)))
    return sorted(found)


def by_name(clip: Clip) -> Any:  # noqa: ANN401 - a key
    """The file's name without ending."""
    return clip.path.stem


def by_request(clip: Clip) -> Any:  # noqa: ANN401 - a key
    """Prompt and seed."""
    return (clip.prompt, clip.seed) if clip.prompt and clip.seed is not None else None


def by_prompt(clip: Clip) -> Any:  # noqa: ANN401 - a key
    """The prompt."""
    return clip.prompt or None


def compare_with(folder: Folder, reference: Folder) -> None:
    """Add what a clip and its own reference say: KL of their sounds and F1 of their onsets."""
    for i, j in pairs(*([one.clip for one in f.scored] for f in (folder, reference))):
        made, real = folder.scored[i], reference.scored[j]
        for name in made.features.logits.keys() & real.features.logits.keys():
            found = divergence(made.features.logits[name], real.features.logits[name])
            made.scores["kl_sound" if name == "sound" else "kl_sound_net"] = found
        if made.features.onsets is not None and real.features.onsets is not None:
            made.scores["onset_f1"] = f1(made.features.onsets, real.features.onsets, ONSET_S)


def lines(folders: dict[str, Folder], metrics: Sequence[Metric], seed: int) -> list[Line]:
    """Every metric's line. `folders` by role: made, other, reference."""
    reference = folders.get("reference")
    if reference:
        for role in folders.keys() - {"reference"}:
            compare_with(folders[role], reference)
    return [
        set_line(metric, folders, seed) if metric.of_set else clip_line(metric, folders, seed)
        for metric in metrics
    ]


def clip_line(metric: Metric, folders: dict[str, Folder], seed: int) -> Line:
    """Means over clips and, of two folders, over the pairs' differences."""
    means = {role: estimate(values(f, metric.name), seed=seed) for role, f in folders.items()}
    if "other" not in folders:
        return Line(metric, means)
    steps = differences(folders["made"], folders["other"], metric.name)
    won = None
    if metric.better and steps:
        sign = 1 if metric.better == "higher" else -1
        won = sum(0.5 if not step else float(step * sign > 0) for step in steps) / len(steps)
    return Line(metric, means, estimate([[step] for step in steps], seed=seed), won)


def values(folder: Folder, name: str) -> list[list[float]]:
    """Each clip's value of a metric as a list, empty where it is null."""
    found = [one.scores.get(name) for one in folder.scored]
    return [[] if value is None else [value] for value in found]


def differences(made: Folder, other: Folder, name: str) -> list[float]:
    """Second − first of the pairs in which both have a value."""
    found = []
    for i, j in pairs(*([one.clip for one in f.scored] for f in (made, other))):
        a, b = made.scored[i].scores.get(name), other.scored[j].scores.get(name)
        if a is not None and b is not None:
            found.append(b - a)
    return found


def set_line(metric: Metric, folders: dict[str, Folder], seed: int) -> Line:
    """An inception score of each folder, or its Fréchet distance to the reference.

    The reference's own distance is that of its two halves: as near as so many clips can come.
    """
    if metric.name.startswith("is_"):
        logits = {role: folder.logits(metric.rows) for role, folder in folders.items()}
        return Line(metric, {r: of_sets(inception, rows, seed=seed) for r, rows in logits.items()})
    found: dict[str, Estimate | None] = dict.fromkeys(folders)
    if "reference" not in folders:
        return Line(metric, found)
    rows = {role: folder.rows(metric.rows) for role, folder in folders.items()}
    real = rows.pop("reference")
    found |= {role: of_sets(frechet, made, real, seed=seed) for role, made in rows.items()}
    found["reference"] = of_sets(frechet, *halves(real, seed), seed=seed)
    if "other" not in rows:
        return Line(metric, found)
    step = of_sets(nearer, rows["made"], rows["other"], real, seed=seed)
    return Line(metric, found, step)


def nearer(made: Floats, other: Floats, real: Floats) -> float | None:
    """How much farther the second set lies from the reference than the first."""
    a, b = frechet(made, real), frechet(other, real)
    return None if a is None or b is None else b - a
