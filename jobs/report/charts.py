"""Inline SVG: numbers in, markup out. Labels are escaped by `Markup.format`."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

Series = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
POINTS = 160  # of a drawn curve; more than that a screen does not show
COLOURS = 6  # classes c0…c5 of the style sheet
WIDE = 4


def curves(
    series: Series, x_label: str, width: int = 460, height: int = 210, *, bands: bool = False
) -> Markup:
    """Lines over a common x, smoothed over at most POINTS spans; legend inside. y goes from zero,
    or by factors where it spans one of more than WIDE: a loss, whose end is what one looks at.

    `bands` shows the 95 % interval of each span's mean behind its line.
    """
    drawn = {name: thin(x, y) for name, (x, y) in series.items() if len(x)}
    if not drawn:
        return Markup("")
    around = {name: interval(*series[name]) for name in drawn} if bands else {}
    right = max(float(x.max()) for x, _ in drawn.values()) or 1.0
    ends = np.array([np.percentile(y, (1, 99)) for _, y in drawn.values()])
    low, top = float(ends[:, 0].min()), nice(float(ends[:, 1].max()))
    by_factors = low > 0 and top > WIDE * low
    left, base, room = 40, height - 30, height - 42

    def place(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
        xs = left + x / right * (width - left - 6)
        if by_factors:
            share = 1 - np.log(top / np.maximum(y, low / 2)) / np.log(top / low)
        else:
            share = y / top
        ys = base - np.clip(share, 0, 1.03) * room
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        level = base - share * room
        parts.append(line((left, level, width - 6, level), "grid"))
        value = low * (top / low) ** share if by_factors else share * top
        parts.append(text(left - 5, level + 4, number(value), "end"))
    parts.append(text(left, height - 14, "0", "start"))
    parts.append(text(width - 6, height - 14, f"{number(right)} {x_label}", "end"))
    for index, (name, (x, y)) in enumerate(drawn.items()):
        colour = f"c{index % COLOURS}"
        if name in around:
            edges = place(np.concatenate([x, x[::-1]]), np.concatenate(around[name]))
            parts.append(Markup('<polygon class="band {}" points="{}"/>').format(colour, edges))
        shape = Markup('<polyline class="curve {}" points="{}"/>').format(colour, place(x, y))
        parts.append(shape)
        at = 14 + 15 * index
        parts.append(line((width - 128, at - 4, width - 112, at - 4), f"curve {colour}"))
        parts.append(text(width - 107, at, name, "start"))
    return svg(width, height, parts)


def thin(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of at most POINTS equal spans."""
    cut = spans(len(x))
    return (
        np.array([x[a:b].mean() for a, b in cut]),
        np.array([y[a:b].mean() for a, b in cut]),
    )


def interval(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Upper edge, and lower edge backwards, of the 95 % interval of each span's mean."""
    cut = spans(len(x))
    mean = np.array([y[a:b].mean() for a, b in cut])
    error = np.array([1.96 * y[a:b].std() / np.sqrt(b - a) for a, b in cut])
    return mean + error, (mean - error)[::-1]


def spans(count: int) -> list[tuple[int, int]]:
    """At most POINTS equal parts of a curve."""
    edges = np.linspace(0, count, min(count, POINTS) + 1).astype(int)
    return list(pairwise(edges))


def stacked(parts: Sequence[tuple[float, str, str]], width: int = 240, height: int = 14) -> Markup:
    """One bar of (share 0…1, class, name) after each other; the names show on hovering."""
    drawn, left = [], 0.0
    for share, kind, name in parts:
        if share > 0:
            told = Markup("<title>{} {}</title>").format(name, f"{share:.1%}")
            box = rect((left, 0, max(0.5, share * width), height), kind)
            drawn.append(Markup("<g>") + told + box + Markup("</g>"))
            left += share * width
    return svg(width, height, drawn)


def shares(rows: Sequence[tuple[str, float, str]], width: int = 460) -> Markup:
    """Horizontal bars of shares 0…1 with a label and a class each."""
    left = min(190, 0.45 * width)
    room = width - left - 60
    parts = []
    for index, (label, share, kind) in enumerate(rows):
        y = 28 * index
        parts.append(text(0, y + 16, label, "start"))
        parts.append(rect((left, y + 4, room * share, 16), kind))
        parts.append(text(left + room * share + 6, y + 16, f"{share:.1%}", "start"))
    return svg(width, 28 * len(rows), parts)


def svg(width: int, height: int, parts: Sequence[Markup]) -> Markup:
    """The picture itself; it shrinks with the page."""
    head = Markup('<svg viewBox="0 0 {} {}" width="{}" height="{}" role="img">')
    inner = Markup("").join(parts)
    return head.format(width, height, width, height) + inner + Markup("</svg>")


def rect(box: tuple[float, float, float, float], kind: str) -> Markup:
    """A filled box: x, y, width, height."""
    x, y, width, height = (f"{value:.1f}" for value in box)
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"/>').format(
        x, y, width, height, kind
    )


def line(ends: tuple[float, float, float, float], kind: str) -> Markup:
    """A straight line."""
    x1, y1, x2, y2 = (f"{value:.1f}" for value in ends)
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(x1, y1, x2, y2, kind)


def text(x: float, y: float, words: str, anchor: str) -> Markup:
    """A label; the words may be anything."""
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
        f"{x:.1f}", f"{y:.1f}", anchor, words
    )


def number(value: float) -> str:
    """A number as a person writes it."""
    return f"{value:.3g}" if abs(value) < 10_000 else f"{value:,.0f}"


def nice(value: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(m for m in (1, 2, 2.5, 5, 10) if value <= m * power * 1.0001))
