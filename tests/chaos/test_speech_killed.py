"""The speech pass survives the kill of its driver."""

import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from curation.media import Limits
from curation.media_write import write_clip
from curation.speech.voice import package_folder
from pipelines.ledger import Ledger
from pipelines.speech import speech
from pipelines.speech_config import SpeechConfig

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
CONFIG = SpeechConfig(engine="embedded")
RUN = """
import sys
from pathlib import Path
import pipelines.speech
from curation.media import Limits
from pipelines.ledger import Ledger
from pipelines.speech_config import SpeechConfig
pipelines.batches.COMMIT_S = 0.0  # every film at once: more moments to die at
pipelines.speech.speech(
    SpeechConfig(engine="embedded"), [sys.argv[2]], Limits(), Ledger(Path(sys.argv[1]))
)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Eight films of 4 s from one reading, and one that is no film."""
    folder = tmp_path_factory.mktemp("films")
    with wave.open(str(package_folder("moonshine_voice") / "assets" / "two_cities.wav")) as file:
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        sound = (raw.reshape(-1, file.getnchannels()).mean(axis=1) / 32768).astype(np.float32)
    pixels = np.zeros((32, 32, 32, 3), np.uint8)
    for number in range(8):
        part = sound[number * 4 * 48_000 : (number + 1) * 4 * 48_000]
        write_clip(folder / f"{number}.mp4", pixels, 8, part[None], 48_000)
    (folder / "text.mp4").write_text("not a film")
    return folder


def contents(ledger):
    return {
        str(p.relative_to(ledger.folder)): p.read_bytes()
        for p in sorted(ledger.folder.rglob("*"))
        if p.is_file()
    }


@pytest.mark.parametrize("parts", [1, 4])
def test_a_killed_driver_changes_nothing(parts, films, local_ray, tmp_path):
    """Films heard twice or never, or a table that tells of the kill."""
    undisturbed = Ledger(tmp_path / "undisturbed")
    speech(CONFIG, [str(films)], Limits(), undisturbed)
    ledger = Ledger(tmp_path / "killed")
    command = [sys.executable, "-c", RUN, str(ledger.folder), str(films)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + 600
    while driver.poll() is None and time.monotonic() < end:
        if len(list(ledger.folder.glob("words@*/open-*.parquet"))) >= parts:
            break
        time.sleep(0.002)
    alive = driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=30)
    assert alive, "the pass ended before it could be killed, so nothing was tested"
    kept = len(ledger.rows(CONFIG.table()))
    tally = speech(CONFIG, [str(films)], Limits(), ledger)
    assert parts <= kept == tally.earlier < tally.total
    assert contents(ledger) == contents(undisturbed)
