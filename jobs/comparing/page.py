"""The page that shows runs beside each other."""

from pathlib import Path
from typing import Any

import numpy as np

from curation.media import MediaReader
from curation.records import RejectedError
from jobs.comparing.runs import Compared, differences
from jobs.report import charts
from jobs.report.media import Budget, Shown, read_film, show
from jobs.report.page import filled
from jobs.report.proof import preview
from jobs.training.log import Line
from jobs.training.validate import LEVELS

PROMPTS = 6  # sample clips a run that are shown
STREAMS = {"video": "picture", "audio": "sound"}
PETA = 1e15


def render(runs: list[Compared]) -> str:
    """One closed HTML file; `runs` are in order of rank."""
    budget = Budget()
    step, clips = sample_clips(runs, budget)
    return filled(
        "compare.html",
        runs=runs,
        levels=[(stream, what, level) for stream, what in STREAMS.items() for level in LEVELS],
        differences=differences(runs),
        charts=[chart for chart in all_charts(runs) if chart["svg"]],
        sample_step=step,
        clips=clips,
        left_out=budget.refused,
    )


def all_charts(runs: list[Compared]) -> list[dict[str, Any]]:
    """Training loss by samples, held-out loss by samples and by FLOPs, each stream held out."""
    trained = {one.name: points(one.steps, one.steps, "samples_seen", "loss") for one in runs}
    found = [
        {
            "title": "Training loss, with the 95 % interval of its mean",
            "svg": charts.curves(trained, "samples", bands=True),
        }
    ]
    for title, x, unit, y in (
        ("Held-out loss by samples seen", "samples_seen", "samples", "loss"),
        ("Held-out loss by FLOPs", "flops_seen", "PFLOPs", "loss"),
        ("Held-out loss of the picture", "samples_seen", "samples", "video"),
        ("Held-out loss of the sound", "samples_seen", "samples", "audio"),
    ):
        series = {one.name: points(one.held_out, one.steps, x, y) for one in runs}
        found.append({"title": title, "svg": charts.curves(series, unit)})
    return found


def points(lines: list[Line], steps: list[Line], x: str, y: str) -> tuple[Any, Any]:
    """A curve over what had been seen at each line's step; FLOPs in peta."""
    scale = PETA if x == "flops_seen" else 1
    seen = {line["step"]: line[x] / scale for line in steps if x in line}
    here = [line for line in lines if line["step"] in seen and y in line]
    return (
        np.array([seen[line["step"]] for line in here], dtype=np.float64),
        np.array([line[y] for line in here], dtype=np.float64),
    )


def sample_clips(runs: list[Compared], budget: Budget) -> tuple[int | None, list[list[Shown]]]:
    """The sample clips of the newest step that all runs have: a row a prompt, a column a run."""
    by_step = [{line["step"]: line["files"] for line in one.samples} for one in runs]
    common = set.intersection(*(set(files) for files in by_step))
    if not common:
        return None, []
    step = max(common)
    names = [{Path(file).name: file for file in files[step]} for files in by_step]
    wanted = sorted(set.union(*(set(files) for files in names)))[:PROMPTS]
    rows = []
    with MediaReader() as reader:
        for name in wanted:
            cells = [
                clip_of(reader, one.folder / files[name], budget)
                if name in files
                else Shown(trouble="this run has no such clip")
                for one, files in zip(runs, names, strict=True)
            ]
            rows.append(cells)
    return step, rows


def clip_of(reader: MediaReader, path: Path, budget: Budget) -> Shown:
    """A sample clip as it is."""
    try:
        return show(budget, preview(read_film(reader, path), path, {}))
    except (RejectedError, OSError) as error:
        return Shown(trouble=str(error))
