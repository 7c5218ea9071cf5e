"""The table's numbers into MLflow's run of the training; without MLflow the proof goes on."""

import json
import re
import time
from collections.abc import Sequence
from typing import Any

from curation.progress import say
from jobs.config import Recipe
from jobs.proving.tables import Row


def metrics(rows: Sequence[Row]) -> dict[str, float]:
    """`prove/<capability>/<measure>` and its bounds, named as MLflow allows."""
    found = {}
    for row in rows:
        name = f"prove/{row.capability}/{row.measure}"
        for of, value in {"": row.made, **row.bounds}.items():
            if value is not None:
                key = "/".join(filter(None, [name, of]))
                found[re.sub(r"[^\w/. -]", "", key)] = value.value
    return found


def send(recipe: Recipe, rows: Sequence[Row]) -> None:
    """Add the numbers to the run that trained."""
    try:
        state: dict[str, Any] = json.loads((recipe.out / "run.json").read_text())
        from mlflow import MlflowClient  # noqa: PLC0415 - 3 s
        from mlflow.entities import Metric  # noqa: PLC0415

        now = int(time.time() * 1000)
        values = [Metric(key, value, now, 0) for key, value in metrics(rows).items()]
        client = MlflowClient(tracking_uri=state["uri"])
        for first in range(0, len(values), 500):  # MLflow refuses more than 1,000 a call
            client.log_batch(state["run_id"], metrics=values[first : first + 500])
    except Exception as error:  # tracking is a copy: proof.json has the numbers
        say(f"warning: MLflow did not take the proof's numbers ({type(error).__name__})")
