"""Numbers of a finished measurement into MLflow: into the run that trained, or one of their own."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from curation.progress import say
from jobs.config import Recipe


def send_numbers(recipe: Recipe, numbers: Mapping[str, float], what: str, step: int = 0) -> None:
    """Log metrics at a training step. Without MLflow the work goes on: this is a copy of a file."""
    try:
        from mlflow import MlflowClient  # noqa: PLC0415 - 3 s
        from mlflow.entities import Metric  # noqa: PLC0415

        uri, run_id = run_of(recipe, what)
        now = int(time.time() * 1000)
        values = [Metric(allowed(key), value, now, step) for key, value in numbers.items()]
        client = MlflowClient(tracking_uri=uri)
        for first in range(0, len(values), 500):  # it refuses more than 1,000 a call
            client.log_batch(run_id, metrics=values[first : first + 500])
    except Exception as error:
        say(f"warning: MLflow did not take the numbers of {what} ({type(error).__name__})")


def allowed(name: str) -> str:
    """A metric's name in the characters that MLflow allows."""
    return re.sub(r"[^\w/. -]", "", name)


def run_of(recipe: Recipe, what: str) -> tuple[str, str]:
    """Tracking URI and run id: of the training in `out`, else of a new run that is already over."""
    path = recipe.out / "run.json"
    if path.is_file():
        state: dict[str, Any] = json.loads(path.read_text())
        return state["uri"], state["run_id"]
    from mlflow import MlflowClient  # noqa: PLC0415 - 3 s

    from jobs.training.track import Target, find_experiment  # noqa: PLC0415 - with MLflow alone

    uri = recipe.tracking_uri
    client = MlflowClient(tracking_uri=uri)
    name = f"{what} {recipe.name}"
    experiment = find_experiment(client, Target(uri, recipe.name, name, recipe.out, {}))
    run_id = client.create_run(experiment, run_name=name).info.run_id
    client.set_terminated(run_id)
    return uri, run_id
