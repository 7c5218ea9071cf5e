"""The figures of `reelmill plan model` in words."""

from collections.abc import Iterator
from typing import Any

from model.footprint import GIB, STAGES


def lines(size: str, found: dict[str, Any]) -> Iterator[str]:
    """The figures of one size as tables."""
    asked = found["asked"]
    w = found["weights"]
    yield (
        f"{size}: {billions(w['total'])} weights: picture {billions(w['video'])}, sound "
        f"{billions(w['audio'])}, exchange {billions(w['exchange'])}"
    )
    yield f"  GiB on each of {asked['gpus']} GPUs, {asked['dtype']}, AdamW with average in float32"
    for stage in STAGES:
        s = found["states"][f"zero_{stage}"]
        yield (
            f"    ZeRO {stage}: weights {s['weights'] / GIB:,.2f}, gradients "
            f"{s['gradients'] / GIB:,.2f}, optimizer {s['optimizer'] / GIB:,.2f}, "
            f"together {sum(s.values()) / GIB:,.2f}"
        )
    held = sum(found["states"][f"zero_{asked['zero']}"].values())
    yield (
        f"  {'clip':<18}{'picture':>10}{'sound':>7}{'forward':>10}{'training':>10}"
        f"{'activations':>13}{'by block':>10}{'with states':>13}{'s a step':>10}{'s a clip':>10}"
    )
    units = "tokens", "tokens", "PFLOP", "PFLOP", "GiB", "GiB", "GiB"
    yield "  {:<18}{:>10}{:>7}{:>10}{:>10}{:>13}{:>10}{:>13}".format("", *units)
    for c in found["clips"]:
        yield (
            f"  {c['clip']:<18}{c['video']:>10,}{c['audio']:>7}{c['forward'] / 1e15:>10.4g}"
            f"{c['training'] / 1e15:>10.4g}{c['activations'] / GIB:>13,.1f}"
            f"{c['checkpointed'] / GIB:>10,.1f}{(c['checkpointed'] + held) / GIB:>13,.1f}"
            f"{c['step_seconds']:>10.3g}{c['clip_seconds']:>10.3g}"
        )
    r = asked["route"]
    yield (
        f"  {r['high']} {r['seconds']:g} s {r['high_fps']:g} fps: all at once, or a base of "
        f"{r['low']} {r['low_fps']:g} fps with {r['keyframes']} keyframes of {r['high']}, then a "
        "refiner"
    )
    for p in found["route"]:
        yield (
            f"  {p['name']:<18}{p['video']:>10,}{p['audio']:>7}{p['forward'] / 1e15:>10.4g}"
            f"{p['training'] / 1e15:>10.4g}{'':>13}{p['checkpointed'] / GIB:>10,.1f}{'':>13}"
            f"{'':>10}{p['clip_seconds']:>10.3g}"
        )
    whole, base, _, refiner = (p["clip_seconds"] for p in found["route"])
    yield f"  a clip by base and sparse refiner takes {(base + refiner) / whole:.3g} of all at once"


def billions(count: int) -> str:
    """A count of weights."""
    return f"{count / 1e9:.2f} B" if count >= 1e8 else f"{count / 1e6:.2f} M"
