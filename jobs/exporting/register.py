"""Versions and aliases in MLflow's model registry, of exports that lie on disk already."""

import os
from dataclasses import dataclass
from typing import Any

from jobs.config import Recipe
from jobs.exporting.folder import Export
from jobs.exporting.gate import Verdict
from jobs.tracked import run_of

TAG = "export"  # of a version: the export's id, so that no export is registered twice


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    client: Any
    model: str
    number: str


def register(recipe: Recipe, export: Export) -> Version:
    """The export's version, made with its files below the training's run where there is none.

    Raises whatever MLflow raises where it is not there.
    """
    # fail in seconds, not minutes: the export is on disk, and the same command registers it
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    from mlflow import MlflowClient  # noqa: PLC0415 - 3 s

    uri, run_id = run_of(recipe, "export")
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    model = recipe.export.model or export.about["recipe"]
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    for one in client.search_model_versions(f"name = '{model}'"):
        if one.tags.get(TAG) == export.folder.name:
            return Version(client, model, str(one.version))
    place = f"exports/{export.folder.name}"
    client.log_artifacts(run_id, str(export.folder), place)
    source = f"{client.get_run(run_id).info.artifact_uri}/{place}"
    tags = {TAG: export.folder.name} | {
        name: str(export.about[name]) for name in ("weights", "contract", "step", "code")
    }
    made = client.create_model_version(
        model, source, run_id=run_id, tags=tags, description=export.card
    )
    return Version(client, model, str(made.version))


def point(version: Version, alias: str, verdicts: list[Verdict]) -> None:
    """Move an alias to a version, which keeps by what it passed."""
    client = version.client
    for one in verdicts:
        name = f"passed.{one.metric}"
        client.set_model_version_tag(version.model, version.number, name, one.told)
    client.set_registered_model_alias(version.model, alias, version.number)
