"""How far one set of clips lies from another: Fréchet distance, divergence, inception score.

Letters: N M samples, D features, C classes.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.proving.tables import Estimate

Floats = NDArray[np.floating]

DRAWS = 50  # of a set's bootstrap: each takes a decomposition
NORMAL = 1.96  # standard deviations of a 95 % interval
FEWEST = 2  # clips a set
TINY = 1e-6


def frechet(a: Floats, b: Floats) -> float | None:
    """Fréchet distance of Gaussians on [N,D] and [M,D]; None below two samples on a side.

    |μ − ν|² + tr(A + B − 2 (A B)^½) (Dowson & Landau 1982; FID of Heusel et al. 2017, FAD of
    Kilgour et al. 2019). With centred samples X and Y, A = XᵀX and B = YᵀY, the last trace is the
    sum of the singular values of X Yᵀ, which is exact for fewer samples than features too, where a
    matrix root of published codes adds a small constant to both.
    """
    if len(a) < 2 or len(b) < 2:
        return None
    x, y = centred(a), centred(b)
    traces = float(np.square(x).sum() + np.square(y).sum())
    x, y = reduced(x), reduced(y)
    root = float(np.linalg.svd(x @ y.T, compute_uv=False).sum())
    way = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    return max(0.0, float(way @ way) + traces - 2 * root)


def centred(rows: Floats) -> Floats:
    """[N,D] whose product with itself is the covariance."""
    wide = rows.astype(np.float64)
    return (wide - wide.mean(axis=0)) / np.sqrt(len(wide) - 1)


def reduced(rows: Floats) -> Floats:
    """At most D rows with the same product: the triangle of a QR decomposition."""
    if len(rows) <= rows.shape[1]:
        return rows
    return np.asarray(np.linalg.qr(rows, mode="r"))


def divergence(made: Floats, real: Floats) -> float:
    """KL(real ‖ made) in nats of two clips' logits [C] under softmax, as audioldm_eval and
    av-benchmark take it for pairs (from Kreuk et al. 2023, AudioGen).
    """
    p, q = softmax(real), softmax(made)
    return float((p * (np.log(p + TINY) - np.log(q + TINY))).sum())


def inception(logits: Floats) -> float | None:
    """Exp of the mean KL(class given clip ‖ class) of clips' logits [N,C] (Salimans et al. 2016).

    1: all clips sound alike, or like nothing; C at most. None below two clips.
    """
    if len(logits) < FEWEST:
        return None
    p = np.stack([softmax(row) for row in logits])
    all_of_them = p.mean(axis=0)
    return float(np.exp((p * (np.log(p + 1e-12) - np.log(all_of_them + 1e-12))).sum(axis=1).mean()))


def softmax(logits: Floats) -> Floats:
    """Probabilities [C]."""
    grown = np.exp(logits - logits.max())
    return grown / grown.sum()


def of_sets(
    measure: Callable[..., float | None], *sets: Sequence[Floats], seed: int = 0
) -> Estimate | None:
    """A measure of one or two sets of clips' features, [n,D] a clip, with its interval.

    Clips are resampled in each set. A resampled set repeats clips, so it is less diverse and its
    measure biased; the interval is the normal one, value ± 1.96 standard errors (Efron &
    Tibshirani 1993, §12), which only takes the spread from the draws. None below two clips a set.
    """
    there = [[rows for rows in one if len(rows)] for one in sets]
    if min(len(one) for one in there) < FEWEST:
        return None
    value = measure(*(np.concatenate(one) for one in there))
    if value is None:
        return None
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        picked = [[one[n] for n in rng.integers(len(one), size=len(one))] for one in there]
        found = measure(*(np.concatenate(one) for one in picked))
        drawn.append(np.nan if found is None else found)
    half = NORMAL * float(np.nanstd(drawn, ddof=1))
    return Estimate(value, max(0.0, value - half), value + half, len(there[0]))


def halves(clips: Sequence[Floats], seed: int = 0) -> tuple[list[Floats], list[Floats]]:
    """A set in two random halves: how far it lies from itself is as near as clips can come."""
    there = [rows for rows in clips if len(rows)]
    order = np.random.default_rng(seed).permutation(len(there))
    middle = len(there) // 2
    return [there[n] for n in order[:middle]], [there[n] for n in order[middle:]]
