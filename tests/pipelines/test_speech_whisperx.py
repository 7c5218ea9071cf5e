"""WhisperX for real: the verb, a Ray actor under another interpreter, models from folders."""

import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from curation.media_write import write_clip
from curation.speech.voice import package_folder
from curation.speech.words import from_json
from jobs.config import load_recipe
from jobs.doctor import ASR
from pipelines.ledger import Ledger

ROOT = Path(__file__).parents[2]
RECIPE = """
name: asr
out: {out}
scan: {{sources: [{films}]}}
speech:
  engine: whisperx
  workers: 1
  whisperx:
    python: {python}
    model: {models}/whisper
    align_model: {models}/wav2vec2
    language: en
    batch_size: 2
"""


@pytest.mark.slow
@pytest.mark.skipif(not ASR.exists(), reason="`make asr` makes the environment of WhisperX")
def test_whisperx_hears_a_film_in_its_own_environment(tmp_path):
    """An actor pool that hangs under another interpreter, or words in a shape that is not ours.

    The models are tiny and random, so what they write means nothing; the gates have to see that.
    """
    maker = Path(__file__).parent / "whisperx_models.py"
    models = tmp_path / "models"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "NLTK_DATA": str(models / "nltk")}
    subprocess.run([ASR, maker, models], check=True, env=environment, capture_output=True)
    films = tmp_path / "films"
    with wave.open(str(package_folder("moonshine_voice") / "assets" / "two_cities.wav")) as file:
        raw = np.frombuffer(file.readframes(32 * 48_000), "<i2").reshape(-1, file.getnchannels())
    sound = (raw.mean(axis=1) / 32768).astype(np.float32)
    pixels = np.zeros((32 * 8, 32, 32, 3), np.uint8)
    write_clip(films / "spoken.mp4", pixels, 8, sound[None], 48_000)
    write_clip(films / "mute.mp4", pixels[:16], 8)
    recipe = tmp_path / "asr.yaml"
    recipe.write_text(RECIPE.format(out=tmp_path / "run", films=films, python=ASR, models=models))
    command = [sys.executable, "-m", "jobs.speech", str(recipe)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    loaded = load_recipe(recipe)
    rows = Ledger(loaded.data.ledger).rows(loaded.speech.table())
    named = {Path(row["path"]).name: row for row in rows}
    assert {name: row["status"] for name, row in named.items()} == {
        "mute.mp4": "ok",
        "spoken.mp4": "ok",
    }
    assert named["mute.mp4"]["words"] == 0
    heard = from_json(named["spoken.mp4"]["transcript"])
    assert heard.engine == "whisperx"
    assert heard.language()[0] == "en"
    assert heard.words
    for segment in heard.segments:
        edges = [t for w in segment.words for t in (w.start, w.end)]
        assert edges == sorted(edges)
        assert all(0 <= t <= heard.seconds for t in edges)
    assert any(w.score is not None for w in heard.words), "nothing was aligned"
    assert any(segment.flags for segment in heard.segments), "random words passed every gate"
