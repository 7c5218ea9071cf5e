"""Verbs as Ray jobs, against a head of our own that wants a token."""

import subprocess
import sys
from pathlib import Path

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from jobs import submit
from jobs.cli import FAILED, VERBS
from jobs.config import RecipeError
from tests.ray_head import ray_head

ROOT = Path(__file__).parents[2]
RECIPE = """
name: small
out: {out}
world: {{films: 2}}
scan: {{sources: ["{out}/films"], shots: stride, workers: 1, window: {{fps: 8, max_s: 2.2}}}}
"""


def details(status: JobStatus, code: int | None) -> JobDetails:
    return JobDetails(
        type=JobType.SUBMISSION, status=status, entrypoint="", driver_exit_code=code, message="gone"
    )


def test_exit_code_is_the_jobs():
    """A failed training run that a script takes for a finished one."""
    assert submit.exit_code(details(JobStatus.SUCCEEDED, 0)) == 0
    assert submit.exit_code(details(JobStatus.FAILED, 75)) == 75
    assert submit.exit_code(details(JobStatus.FAILED, None)) == FAILED
    assert submit.exit_code(details(JobStatus.STOPPED, None)) == FAILED


@pytest.mark.parametrize("words", [[], ["trian", "r.yaml"], ["submit", "train"]])
def test_unknown_verbs_are_not_sent(words):
    """A typo found out minutes later in a cluster's log."""
    with pytest.raises(RecipeError, match="needs a verb"):
        submit.run(words)


def test_address_must_be_a_dashboard(monkeypatch):
    """RAY_ADDRESS=host:6379, right for a driver, ending here in a decoding error."""
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(RecipeError, match="not a dashboard address"):
        submit.dashboard_address()
    monkeypatch.delenv("RAY_ADDRESS")
    assert submit.dashboard_address() == submit.DASHBOARD


@pytest.fixture(scope="module")
def head():
    with ray_head() as environment:
        yield environment


def command(environment, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
    )


def reelmill(environment, *words: str) -> subprocess.CompletedProcess:
    return command(environment, sys.executable, "-m", "jobs.cli", *words)


@pytest.mark.slow
def test_ray_job_submit_runs_every_verb(head):
    """A verb whose module, template or data file does not travel with the working directory."""
    loop = f"for verb in {' '.join(VERBS)}; do python -m jobs.$verb --help || exit 9; done"
    ray = str(Path(sys.executable).with_name("ray"))
    done = command(head, ray, "job", "submit", "--working-dir", ".", "--", "bash", "-c", loop)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert all(f"reelmill {verb}:" in done.stdout for verb in VERBS)


@pytest.mark.slow
def test_submit_follows_the_log_and_works_on_the_cluster(head, tmp_path):
    """A job that starts a Ray of its own beside the cluster, or whose log nobody sees."""
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE.format(out=tmp_path / "run"))
    for verb, said in (("world", "2 films"), ("scan", "2 films = 2 ok"), ("report", "report:")):
        done = reelmill(head, "submit", verb, str(recipe))
        assert done.returncode == 0, done.stderr[-3000:]
        assert said in done.stderr
    assert (tmp_path / "run/report.html").is_file()
    assert "<title>reelmill: small" in (tmp_path / "run/report.html").read_text()


@pytest.mark.slow
def test_submit_passes_a_wrong_request_on(head, tmp_path):
    """Exit code 2 of the verb turned into 0 or 1 on its way."""
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text("name: x\nout: y\nunknown: 1\n")
    done = reelmill(head, "submit", "report", str(recipe))
    assert done.returncode == 2
    assert "unknown" in done.stderr


@pytest.mark.slow
def test_a_wrong_token_is_refused(head):
    """A head that runs anybody's code."""
    done = reelmill(head | {"RAY_AUTH_TOKEN": "0" * 64}, "submit", "doctor")
    assert done.returncode != 0
    assert "submit: raysubmit" not in done.stderr
