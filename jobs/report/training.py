"""Loss curves of a run: all, by stream, by task, by noise level, held out."""

from typing import Any

import numpy as np

from jobs.report import charts
from jobs.report.facts import Facts

Log = list[dict[str, Any]]


def fall(steps: Log) -> float:
    """Mean loss of the last 5 % of the steps over that of the first 5 (before it has learnt)."""
    losses = [line["loss"] for line in steps]
    tail = max(1, len(losses) // 20)
    return float(np.mean(losses[-tail:]) / np.mean(losses[:5]))


def training(facts: Facts) -> list[dict[str, Any]]:
    """The curves that the log has, with their titles."""
    steps = [line for line in facts.log if line["kind"] == "step"]
    held = [line for line in facts.log if line["kind"] == "validation"]
    if not steps:
        return []
    names = sorted({key for line in steps for key in line})
    levels = ("noisiest quarter", "second", "third", "cleanest quarter")
    wanted: list[tuple[str, Log, dict[str, str]]] = [
        ("Loss by stream", steps, {"loss": "both"} | tail_names(names, "loss/")),
        ("Held-out loss", held, {k: k for line in held for k in line if k.startswith("loss")}),
    ]
    for stream, what in (("video", "picture"), ("audio", "sound")):
        tasks = {k: k.split("/")[1] for k in names if k.startswith("task/") and k.endswith(stream)}
        noise = {
            k: levels[int(k.split("/")[1])]
            for k in names
            if k.startswith("level/") and k.endswith(stream)
        }
        wanted += [(f"Loss of {what} by task", steps, tasks)]
        wanted += [(f"Loss of {what} by noise level", steps, noise)]
    found = [
        {"title": title, "svg": charts.curves(series(lines, chosen), "steps")}
        for title, lines, chosen in wanted
        if chosen
    ]
    return [item for item in found if item["svg"]]


def tail_names(names: list[str], prefix: str) -> dict[str, str]:
    """Curves below a prefix by their last part."""
    return {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def series(lines: Log, chosen: dict[str, str]) -> charts.Series:
    """The x and y of each chosen curve, by its label."""
    found = {}
    for key, label in chosen.items():
        here = [line for line in lines if isinstance(line.get(key), int | float)]
        x = np.array([line["step"] for line in here], dtype=np.float64)
        y = np.array([line[key] for line in here], dtype=np.float64)
        found[label] = (x[np.isfinite(y)], y[np.isfinite(y)])
    return found
