"""The caption pass survives kill -9: what was answered is not asked again, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.caption import caption
from pipelines.caption_config import CaptionConfig
from tests.caption_films import FP, fresh, write_films
from tests.caption_server import CaptionServer

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
RUN = """
import sys
from pathlib import Path
import pipelines.caption_ask
from pipelines.caption import caption
from pipelines.caption_config import CaptionConfig
from pipelines.ledger import Ledger
pipelines.caption_ask.COMMIT_S = 0.0  # every answer at once: more moments to die at
caption(CaptionConfig.model_validate_json(sys.argv[2]), Ledger(Path(sys.argv[1])), "f" * 12)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"), films=4, parts=8)


@pytest.mark.parametrize("parts", [1, 5, 17])
def test_a_killed_pass_goes_on_where_it_was(films, tmp_path, parts):
    """Clips that are asked about twice, answers that are lost, or another clip's after the kill."""
    ledger, truth = fresh(tmp_path, films, parts=8)
    with CaptionServer(slow_s=0.2) as server:
        llm = {"model": "m", "url": server.url, "frames": 1, "short_side": 48, "workers": 1}
        config = CaptionConfig(prefer=("llm",), llm=llm | {"concurrency": 2})
        table = ledger.folder / f"scores/answers@{config.llm.fingerprint()}"
        command = [sys.executable, "-c", RUN, str(ledger.folder), config.model_dump_json()]
        driver = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 120
        while driver.poll() is None and time.monotonic() < end:
            if len(list(table.glob("open-*.parquet"))) >= parts:
                break
            time.sleep(0.002)
        alive = driver.poll() is None
        driver.send_signal(signal.SIGKILL)
        driver.wait(timeout=30)
        assert alive, "the pass ended before it could be killed, so nothing was tested"
        done = {row["clip_id"] for row in ledger.rows(table.relative_to(ledger.folder).as_posix())}
        assert parts <= len(done) < len(truth)
        before = {clip: len(nonces) for clip, nonces in server.tries.items()}
        tally = caption(config, ledger, FP)
        asked = {c for c, nonces in server.tries.items() if len(nonces) > before.get(c, 0)}
    assert asked == set(truth) - done
    assert tally.status["ok"] == len(truth)
    for row in ledger.rows(f"scores/caption@{config.fingerprint()}"):
        colour, clicks = truth[row["clip_id"]]
        told = json.loads(row["record"])
        assert (told["subject"], told["effects"]) == (f"a {colour} picture", [f"{clicks} clicks"])
