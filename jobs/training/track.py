"""MLflow as a copy of the log. A thread of the driver delivers it in order; training never waits.

Absent, slow or broken tracking costs nothing but the copy: what was not delivered is delivered by
the next start of the same run.
"""

import json
import logging
import math
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.files import write_json
from curation.progress import say
from jobs.training.log import Line, Tail

LOOK_EVERY_S = 1.0
BATCH = 500  # MLflow refuses more than 1,000 metrics a call
MAX_PARAM = 5000  # characters; MLflow refuses 6,001
GIVE_UP_S = 30.0  # at the end of the run, for the lines that are left
NOT_METRICS = frozenset({"kind", "step", "time"})


@dataclass(frozen=True)
class Parent:
    """The run of a chain, which holds its stages' runs."""

    name: str
    state: Path  # where its id is kept
    last: bool  # whether this stage is the chain's last


@dataclass(frozen=True)
class Target:
    """Where a run is tracked, and what is said about it once."""

    uri: str
    experiment: str
    name: str
    out: Path
    params: dict[str, str]
    texts: dict[str, str] = field(default_factory=dict)  # artefact name -> content
    parent: Parent | None = None

    @property
    def state(self) -> Path:
        """Run id and what was delivered."""
        return self.out / "run.json"


class Tracker:
    """Delivers a log to MLflow from a thread. `delivered` survives in `run.json`."""

    def __init__(self, target: Target, log: Path) -> None:
        self.target = target
        self.tail = Tail(log)
        self.waiting: list[Line] = []
        self.state: dict[str, Any] = _read_state(target.state, target.uri)
        self.client: Any = None
        self.warned = False
        self.done = threading.Event()
        self.status = "FINISHED"
        self.thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self.thread.start()

    def finish(self, status: str, patience_s: float = GIVE_UP_S) -> int:
        """Deliver what is left, mark the run, and return how many lines could not be sent."""
        self.status = status
        self.done.set()
        self.thread.join(patience_s)
        left = len(self.waiting)
        if self.thread.is_alive() or left:
            say(f"warning: MLflow did not take {left} lines; the next start of this run sends them")
        return left

    def _work(self) -> None:
        wait = LOOK_EVERY_S
        while True:
            last = self.done.is_set()
            try:
                self._deliver(last=last)
                wait = LOOK_EVERY_S
            except Exception as error:
                wait = min(wait * 2, 30.0)
                if not self.warned:
                    self.warned = True
                    say(f"warning: MLflow is not reachable ({type(error).__name__}); going on")
            if last:
                return
            self.done.wait(wait)

    def _deliver(self, *, last: bool) -> None:
        self.waiting += [line for line in self.tail.new() if not self._was_sent(line)]
        if self.client is None:
            self.client = self._connect()
        while self.waiting:
            batch = take(self.waiting)
            self._send(batch)
            del self.waiting[: len(batch)]
            self._mark(batch)
        if last:
            self.client.set_terminated(self.state["run_id"], self.status)
            self._end_parent()

    def _connect(self) -> Any:  # noqa: ANN401 - MLflow's client
        # fail in seconds: MLflow's own defaults try for minutes, and the end of a run waits
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient  # noqa: PLC0415 - 3 s, in this thread
        from mlflow.entities import Param  # noqa: PLC0415

        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.WARNING)
        target = self.target
        client = MlflowClient(tracking_uri=target.uri)
        run_id = self.state.get("run_id")
        if run_id is None or self.state.get("uri") != target.uri:
            experiment = find_experiment(client, target)
            tags = {"mlflow.parentRunId": self._parent(client, experiment)} if target.parent else {}
            run = client.create_run(experiment, run_name=target.name, tags=tags)
            run_id = run.info.run_id
            params = [Param(key, value[:MAX_PARAM]) for key, value in target.params.items()]
            client.log_batch(run_id, params=params)
            for name, text in target.texts.items():
                client.log_text(run_id, text, name)
            self.state = {"run_id": run_id, "uri": target.uri, "step": -1, "kinds": []}
            write_json(target.state, self.state)
        client.update_run(run_id, status="RUNNING")
        client.set_tag(
            run_id, "code", target.params.get("code", "")
        )  # the latest; params are final
        return client

    def _parent(self, client: Any, experiment: str) -> str:  # noqa: ANN401
        """The chain's run, made with its first stage."""
        parent = self.target.parent
        assert parent is not None
        known = _read_state(parent.state, self.target.uri)
        if "run_id" not in known:
            run = client.create_run(experiment, run_name=parent.name)
            known = {"run_id": run.info.run_id, "uri": self.target.uri}
            write_json(parent.state, known)
        return str(known["run_id"])

    def _end_parent(self) -> None:
        """A chain ends with its last stage, or with one that did not come to its end."""
        parent = self.target.parent
        if parent is None:
            return
        run_id = _read_state(parent.state, self.target.uri).get("run_id")
        if run_id and (parent.last or self.status != "FINISHED"):
            self.client.set_terminated(run_id, self.status)
        elif run_id:
            self.client.update_run(run_id, status="RUNNING")

    def _send(self, lines: list[Line]) -> None:
        from mlflow.entities import Metric  # noqa: PLC0415

        run_id = self.state["run_id"]
        metrics = [
            Metric(key, value, int(line["time"] * 1000), line["step"])
            for line in lines
            for key, value in numbers(line).items()
        ]
        if metrics:
            self.client.log_batch(run_id, metrics=metrics)
        for line in lines:
            for file in line.get("files", ()):
                folder = f"samples/step-{line['step']:08d}"
                self.client.log_artifact(run_id, str(self.target.out / file), folder)

    def _was_sent(self, line: Line) -> bool:
        step = self.state.get("step", -1)
        if line["step"] != step:
            return bool(line["step"] < step)
        return line["kind"] in self.state.get("kinds", ())

    def _mark(self, lines: list[Line]) -> None:
        step = lines[-1]["step"]
        kinds = {line["kind"] for line in lines if line["step"] == step}
        if step == self.state["step"]:
            kinds |= set(self.state["kinds"])
        self.state = {**self.state, "step": step, "kinds": sorted(kinds)}
        write_json(self.target.state, self.state)


def take(lines: list[Line]) -> list[Line]:
    """The first lines that fit one call."""
    count = size = 0
    for line in lines:
        size += len(numbers(line))
        if size > BATCH and count:
            break
        count += 1
    return lines[:count]


def numbers(line: Line) -> dict[str, float]:
    """The metrics of a line; validation's are named so. MLflow takes finite numbers only."""
    before = "validation/" if line["kind"] == "validation" else ""
    return {
        before + key: float(value)
        for key, value in line.items()
        if key not in NOT_METRICS and isinstance(value, int | float) and math.isfinite(value)
    }


def find_experiment(client: Any, target: Target) -> str:  # noqa: ANN401
    """The id of the experiment, which is made where there is none."""
    found = client.get_experiment_by_name(target.experiment)
    if found is not None:
        return str(found.experiment_id)
    # without this, a local store would put artefacts below the current folder
    local = target.uri.startswith("sqlite:")
    location = (target.out.parent / "mlartifacts").resolve().as_uri() if local else None
    return str(client.create_experiment(target.experiment, artifact_location=location))


def _read_state(path: Path, uri: str) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) and state.get("uri") == uri else {}
