"""The judges' pass survives a kill of its driver: what was committed stays, the rest is done."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.judges.config import JudgeConfig
from curation.world.config import WorldConfig
from curation.world.films import film_path, write_film
from pipelines.judge import finished, judge
from pipelines.ledger import Ledger

pytestmark = pytest.mark.chaos
pytest.importorskip("rapidocr", reason="the extra curate is not installed")
ROOT = Path(__file__).parents[2]
FP = "f" * 12
CONFIG = JudgeConfig(judges=("text",), side=64)
RUN = """
import sys
from pathlib import Path
import pipelines.judge
from curation.judges.config import JudgeConfig
from pipelines.ledger import Ledger
pipelines.judge.COMMIT_S = 0.0  # every clip at once: more moments to die at
pipelines.judge.CLIPS_A_TASK = 1
config = JudgeConfig.model_validate_json(sys.argv[2])
pipelines.judge.judge(config, Ledger(Path(sys.argv[1])), "f" * 12)
"""


def test_a_killed_driver_loses_only_what_was_in_flight(tmp_path, local_ray):
    """Judgements lost or made twice by a kill, or a table that tells of it."""
    films, ledgers = tmp_path / "films", [Ledger(tmp_path / name) for name in ("one", "two")]
    for number in range(8):
        world = WorldConfig(seed=7, fps=8, height=64, width=96, seconds=(2, 2))
        write_film(world, films, number)
        for ledger in ledgers:
            ledger.append("clips", [
                {"clip_id": f"{number}-{i}", "source_id": str(number), "fingerprint": FP,
                 "path": str(film_path(films, number)), "start_s": i / 2, "end_s": i / 2 + 0.5,
                 "has_audio": True}
                for i in range(4)
            ])  # fmt: skip
    killed, undisturbed = ledgers
    judge(CONFIG, undisturbed, FP)
    command = [sys.executable, "-c", RUN, str(killed.folder), CONFIG.model_dump_json()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    log = tmp_path / "driver.log"
    with log.open("w") as told:
        driver = subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=told, start_new_session=True
        )
    end = time.monotonic() + 300
    while driver.poll() is None and time.monotonic() < end:
        if len(list(killed.folder.glob("scores/**/open-*.parquet"))) >= 2:
            break
        time.sleep(0.002)
    alive = driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=30)
    assert alive, f"it ended before it could be killed, so nothing was tested: {log.read_text()}"
    table = CONFIG.tables()["text"]
    kept = len(finished(killed, table))
    tally = judge(CONFIG, killed, FP)
    assert 0 < kept < 32
    assert (tally.earlier, tally.status["ok"]) == (kept, 32)
    assert contents(killed, table) == contents(undisturbed, table)


def contents(ledger, table):
    return {p.name: p.read_bytes() for p in (ledger.folder / table).iterdir()}
