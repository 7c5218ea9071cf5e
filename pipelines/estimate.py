"""What a sample of films tells of all of them: ratio estimates with an error band.

A pass takes so many worker-seconds, and writes so many bytes, for a second of film; both differ
from film to film. The ratio of the sums and its error are those of survey sampling (Cochran 1977,
Sampling Techniques, §6.3): s^2 of the residuals about the ratio, and Student's t for few films.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from curation.sources import Source

SURE = 0.9  # how often the truth lies within a band, as far as films are alike


@dataclass(frozen=True)
class Estimate:
    """A total and the relative half-width of its band; `inf` where a sample cannot tell."""

    value: float
    error: float = 0.0

    @property
    def low(self) -> float:
        """The lower end; a total is not below 0."""
        return max(0.0, self.value * (1 - self.error)) if self.value else 0.0

    @property
    def high(self) -> float:
        """The upper end."""
        return self.value * (1 + self.error) if self.value else 0.0

    def times(self, other: "Estimate") -> "Estimate":
        """The product of two estimates whose errors have nothing to do with each other."""
        return Estimate(self.value * other.value, sqrt(self.error**2 + other.error**2))


def ratio(costs: Sequence[float], sizes: Sequence[float], of: int) -> Estimate:
    """Cost of one unit of size, from films [n] of `of` films; sizes in any unit, costs in any.

    A sample that is everything has no error. One film, or none with a size, cannot tell.
    """
    cost, size = np.asarray(costs, np.float64), np.asarray(sizes, np.float64)
    n = len(cost)
    if not n or size.sum() <= 0:
        return Estimate(0.0, inf)
    value = float(cost.sum() / size.sum())
    if n >= of or value == 0:
        return Estimate(value)
    if n == 1:
        return Estimate(value, inf)
    from scipy.stats import t  # noqa: PLC0415 - 1 s

    residuals = cost - value * size
    spread = sqrt(float(residuals @ residuals) / (n - 1))
    error = sqrt((1 - n / of) / n) * spread / float(size.mean())
    return Estimate(value, float(t.ppf((1 + SURE) / 2, n - 1)) * error / value)


def pick(sources: Sequence[Source], most: int) -> list[Source]:
    """At most `most` of the films, evenly over their sizes: neither only long nor only short ones.

    The same films give the same sample.
    """
    ranked = sorted(sources, key=lambda source: (source.bytes, source.path))
    if len(ranked) <= most:
        return ranked
    step = len(ranked) / most
    return [ranked[int((i + 0.5) * step)] for i in range(most)]


def by_film(times: Mapping[str, float], films: Mapping[str, str]) -> dict[str, float]:
    """Worker-seconds by source_id, from the names that workers gave; `films` is path → source_id.

    A name is a path, or begins with a clip_id and so with a source_id. What belongs to no film (an
    actor's start, a shard's end) is under "".
    """
    found: dict[str, float] = {}
    known = set(films.values())
    for name, seconds in times.items():
        film = films.get(name) or name[:16]
        key = film if film in known else ""
        found[key] = found.get(key, 0.0) + seconds
    return found
