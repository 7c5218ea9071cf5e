"""The judges' pass survives kills: of its driver, and of workers by one judgement."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.judges import bench
from curation.judges.config import JudgeConfig
from curation.world.config import WorldConfig
from curation.world.films import film_path, write_film
from pipelines import judge as judging
from pipelines import judge_actors
from pipelines.judge import judge
from pipelines.ledger import Ledger

pytestmark = pytest.mark.chaos
pytest.importorskip("rapidocr", reason="the extra curate is not installed")
ROOT = Path(__file__).parents[2]
FP = "f" * 12
CLIPS = 24
CONFIG = JudgeConfig(judges=("text",), side=64)
RUN = """
import sys
from pathlib import Path
from curation.judges.config import JudgeConfig
from pipelines import batches, judge
from pipelines.ledger import Ledger
batches.COMMIT_S = 0.0  # every clip at once: more moments to die at
judge.CLIPS_A_TASK = 1
config = JudgeConfig.model_validate_json(sys.argv[2])
judge.judge(config, Ledger(Path(sys.argv[1])), "f" * 12)
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The clips table of six films of four clips each."""
    films = tmp_path_factory.mktemp("films")
    for number in range(CLIPS // 4):
        world = WorldConfig(seed=7, fps=8, height=64, width=96, seconds=(2, 2))
        write_film(world, films, number)
    return [
        {"clip_id": f"{number}-{i}", "source_id": str(number), "fingerprint": FP,
         "path": str(film_path(films, number)), "start_s": i / 2, "end_s": i / 2 + 0.5,
         "has_audio": True}
        for number in range(CLIPS // 4) for i in range(4)
    ]  # fmt: skip


def ledger_of(folder, clips):
    ledger = Ledger(folder)
    ledger.append("clips", clips)
    return ledger


@pytest.fixture(scope="module")
def undisturbed(clips, tmp_path_factory, local_ray):
    ledger = ledger_of(tmp_path_factory.mktemp("undisturbed"), clips)
    judge(CONFIG, ledger, FP)
    return ledger


def contents(ledger):
    return {
        str(p.relative_to(ledger.folder)): p.read_bytes()
        for p in sorted(ledger.folder.rglob("*"))
        if p.is_file() and p.parent.name != "clips"
    }


@pytest.mark.parametrize("parts", [1, 9])
def test_a_killed_driver_changes_nothing(parts, clips, undisturbed, tmp_path):
    """Judgements lost or made twice by a kill, or a table that tells of it."""
    ledger = ledger_of(tmp_path / "ledger", clips)
    command = [sys.executable, "-c", RUN, str(ledger.folder), CONFIG.model_dump_json()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    log = tmp_path / "driver.log"
    with log.open("w") as told:
        driver = subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=told, start_new_session=True
        )
    try:
        end = time.monotonic() + 600
        while driver.poll() is None and time.monotonic() < end:
            if len(list(ledger.folder.glob("scores/**/open-*.parquet"))) >= parts:
                break
            time.sleep(0.002)
        alive = driver.poll() is None
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait(timeout=30)
    assert alive, f"it ended before it could be killed, so nothing was tested: {log.read_text()}"
    kept = len(ledger.rows(CONFIG.tables()["text"]))
    tally = judge(CONFIG, ledger, FP)
    assert parts <= kept < CLIPS
    assert (tally.earlier, tally.status["ok"]) == (kept, CLIPS)
    assert contents(ledger) == contents(undisturbed)


class FragileJudge(judge_actors.Judger):
    """A worker that one judgement kills."""

    def __init__(self, config, limits, watch):
        super().__init__(config, limits, watch)
        read = bench.JUDGE["text"]

        def dies(evidence):
            if evidence.seen.clip_id == "2-1":
                os.kill(os.getpid(), signal.SIGKILL)
            return read(evidence)

        bench.JUDGE["text"] = dies


class FragileReader(judge_actors.Judger):
    """A worker that the reading of one film kills."""

    def __init__(self, config, limits, watch):
        super().__init__(config, limits, watch)
        look = bench.look_at

        def dies(reader, path, group, *given):
            if group[0]["clip_id"] == "2-0":
                time.sleep(1)  # the clips before are being judged meanwhile
                os.kill(os.getpid(), signal.SIGKILL)
            return look(reader, path, group, *given)

        bench.look_at = dies


@pytest.mark.parametrize(
    ("fragile", "readers", "lost"),
    [
        (FragileJudge, 0, ["2-1"]),
        (FragileJudge, 3, ["2-1"]),
        (FragileReader, 3, ["2-0", "2-1", "2-2", "2-3"]),
    ],
)
def test_what_kills_its_worker_becomes_a_row(
    fragile, readers, lost, clips, undisturbed, tmp_path, monkeypatch
):
    """A clip that is judged for ever, or that takes others with it that were in hand with it."""
    ledger = ledger_of(tmp_path, clips)
    config = CONFIG.model_copy(update={"readers": readers})
    table = config.tables()["text"]
    with monkeypatch.context() as patch:
        patch.setattr(judging, "LEAST_CLIPS", CLIPS)  # readers work from film to film
        patch.setattr(judge_actors, "Judger", fragile)
        tally = judge(config, ledger, FP)
        assert (tally.status["ok"], tally.reasons) == (
            CLIPS - len(lost),
            {"worker_died": len(lost)},
        )
        dead = [row for row in ledger.rows(table) if row["status"] != "ok"]
        assert sorted(row["clip_id"] for row in dead) == lost
        assert {row["attempts"] for row in dead} == {2}
        assert judge(config, ledger, FP).earlier == CLIPS, "a rerun leaves it alone"
    assert judge(config, ledger, FP, replay=["worker_died"]).status["ok"] == len(lost)
    assert contents(ledger) == contents(undisturbed)
