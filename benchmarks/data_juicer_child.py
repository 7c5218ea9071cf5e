"""Data-Juicer's own operators over clips, in its own interpreter: IN.json OUT.json WORKERS.

The operators' functions are called bare, without its executor, datasets and logs, which cost more.
"""

import json
import multiprocessing
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "video_duration_filter": ("VideoDurationFilter", {"video_backend": "av"}),
    "video_resolution_filter": ("VideoResolutionFilter", {}),
    "video_aspect_ratio_filter": ("VideoAspectRatioFilter", {}),
    "video_motion_score_filter": ("VideoMotionScoreFilter", {"sampling_fps": 2}),
}
made: list[Any] = []


def make() -> None:
    """The operators, once a worker."""
    for name, (kind, given) in OPERATORS.items():
        made.append(getattr(import_module(f"data_juicer.ops.filter.{name}"), kind)(**given))


def score(sample: dict[str, Any]) -> dict[str, Any]:
    """What the operators write into a sample's stats."""
    row = sample | {"__dj__stats__": {}}
    for operator in made:
        row = operator.compute_stats_single(row)
    return {key: [float(x) for x in value] for key, value in row["__dj__stats__"].items()}


if __name__ == "__main__":
    given, result, workers = sys.argv[1:]
    samples = json.loads(Path(given).read_text())
    with multiprocessing.get_context("spawn").Pool(int(workers), make) as pool:
        Path(result).write_text(json.dumps(pool.map(score, samples, chunksize=1)))
