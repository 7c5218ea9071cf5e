"""Run a verb on a Ray cluster: `reelmill submit train jobs/recipes/demo.yaml --train.steps 500`.

The repository travels with the job, the log is followed here, and the job's exit code is this
command's. RAY_ADDRESS names the cluster's dashboard (http://127.0.0.1:8265 without it); a cluster
with RAY_AUTH_MODE=token needs the same RAY_AUTH_TOKEN here. Ctrl-C leaves the job running.
"""

import asyncio
import os
import shlex
from pathlib import Path

from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from curation.progress import say
from jobs.cli import FAILED, QUIET, VERBS, main_verb
from jobs.config import RecipeError, code_version

TAKES_RECIPE = False
SECTIONS = ()
ROOT = Path(__file__).parent.parent
DASHBOARD = "http://127.0.0.1:8265"
# What a job does not need; Ray leaves out what .gitignore names besides.
EXCLUDES = [".git", ".venv", "venvs", "runs", "films", "build", "*.log", "**/__pycache__"]


def run(words: list[str]) -> int:
    """Submit `python -m jobs.<verb> words…`, follow its log, return its exit code."""
    if not words or words[0] not in VERBS or words[0] == "submit":
        raise RecipeError(
            "`reelmill submit` needs a verb and its words, e.g. submit train recipe.yaml"
        )
    client = JobSubmissionClient(dashboard_address())
    job = client.submit_job(
        entrypoint=shlex.join(["python", "-m", f"jobs.{words[0]}", *words[1:]]),
        runtime_env={
            "working_dir": str(ROOT),
            "excludes": EXCLUDES,
            "env_vars": QUIET | {"REELMILL_CODE_VERSION": code_version()},
        },
    )
    say(f"submit: {job} on {dashboard_address()}; `ray job stop {job}` ends it")
    asyncio.run(follow(client, job))
    return exit_code(client.get_job_info(job))


def dashboard_address() -> str:
    """The jobs address: RAY_ADDRESS when it is one, else the local dashboard."""
    address = os.environ.get("RAY_ADDRESS", "")
    if address and not address.startswith(("http://", "https://")):
        raise RecipeError(
            f"RAY_ADDRESS={address} is not a dashboard address; submit needs http://host:8265 "
            "(`ray dashboard ray_cluster.yaml` opens a tunnel to it)"
        )
    return address or DASHBOARD


async def follow(client: JobSubmissionClient, job: str) -> None:
    """Print the job's log until it ends."""
    async for lines in client.tail_job_logs(job):
        say(lines.rstrip("\n"))


def exit_code(details: JobDetails) -> int:
    """The exit code of the job's command; FAILED when it never ran."""
    if details.status != JobStatus.SUCCEEDED:
        say(f"submit: {details.status}: {details.message}")
    if details.driver_exit_code is not None:
        return int(details.driver_exit_code)
    return 0 if details.status == JobStatus.SUCCEEDED else FAILED


if __name__ == "__main__":
    raise SystemExit(main_verb("submit"))
