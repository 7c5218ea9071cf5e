"""What changes from one policy to another, in clips and hours, by class of sound and by rule."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.verdicts import Decision, numbers, texts

CLASS = "sound_class"


@dataclass(frozen=True)
class Change:
    """One line: hours kept by A and by B, what B adds and what it gives up, in clips and hours."""

    title: str
    before: float
    after: float
    gained: int
    gained_hours: float
    lost: int
    lost_hours: float


def diff(clips: pa.Table, a: Decision, b: Decision) -> list[Change]:
    """Changes by class of sound, largest first, then all together."""
    labels = classes(clips)
    lines = [change(name, labels == name, a, b) for name in sorted(set(labels))]
    lines.sort(key=lambda c: -(c.gained_hours + c.lost_hours))
    return [*lines, change("(all)", np.ones(len(labels), dtype=bool), a, b)]


def classes(clips: pa.Table) -> NDArray[np.object_]:
    """The class of each clip's sound [clips]; without a judge only whether there is any."""
    heard = numbers(clips, "has_sound") > 0
    fallback = np.where(heard, "sound", "silent")
    known = texts(clips, CLASS).to_pylist()
    return np.array([k or f for k, f in zip(known, fallback, strict=True)], dtype=object)


def change(title: str, inside: NDArray[np.bool_], a: Decision, b: Decision) -> Change:
    """The line of the clips `inside`."""
    hours = a.seconds / 3600
    before, after = a.kept & inside, b.kept & inside
    gained, lost = after & ~before, before & ~after
    return Change(
        title,
        float(hours[before].sum()),
        float(hours[after].sum()),
        int(gained.sum()),
        float(hours[gained].sum()),
        int(lost.sum()),
        float(hours[lost].sum()),
    )


def reasons(a: Decision, b: Decision) -> list[tuple[str, int, float]]:
    """(rule, clips, hours) of what B drops and A kept, and with a `+` of what B lets in again."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for sign, mine, changed in (("-", b, a.kept & ~b.kept), ("+", a, b.kept & ~a.kept)):
        names = mine.verdicts["reason"].to_numpy(zero_copy_only=False)[changed]
        for name, seconds in zip(names, mine.seconds[changed], strict=True):
            sums[f"{sign} {name}"][0] += 1
            sums[f"{sign} {name}"][1] += seconds / 3600
    found = [(name, int(count), hours) for name, (count, hours) in sums.items()]
    return sorted(found, key=lambda item: (-item[2], item[0]))


def diff_lines(clips: pa.Table, a: Decision, b: Decision) -> list[str]:
    """The difference as text."""
    kept = f"{'class':<16} {'A hours':>10} {'B hours':>10} {'change':>10}"
    lines = [f"{kept} {'gained':>8} {'hours':>9} {'lost':>8} {'hours':>9}"]
    lines += [
        f"{c.title:<16} {c.before:>10.3f} {c.after:>10.3f} {c.after - c.before:>+10.3f} "
        f"{c.gained:>8} {c.gained_hours:>9.3f} {c.lost:>8} {c.lost_hours:>9.3f}"
        for c in diff(clips, a, b)
    ]
    why = reasons(a, b)
    if why:
        lines += ["", "- B drops it by this rule   + A had dropped it by this rule"]
        lines += [f"{name:<40} {count:>8} clips {hours:>9.3f} h" for name, count, hours in why]
    return lines
