"""The proof as a stranger runs it: fifteen minutes from films to one page."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.proving.cases import CAPABILITIES

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
MINUTES = 15


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    """What it wrote, and how long it took."""
    out = tmp_path_factory.mktemp("proof") / "prove"
    program = Path(sys.executable).with_name("reelmill")
    words = ["prove", "jobs/recipes/prove.yaml", f"--prove.minutes={MINUTES}", f"--out={out}"]
    begun = time.monotonic()
    done = subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return out, time.monotonic() - begun


def test_a_stranger_gets_one_page_in_the_minutes(proof):
    """Catches a budget that is not kept, a capability without rows, a proof that learns nothing."""
    out, seconds = proof
    assert seconds < 60 * MINUTES * 1.25
    found = json.loads((out / "proof.json").read_text())
    rows = {(row["capability"], row["measure"]): row for row in found["rows"]}
    assert {capability for capability, _ in rows} == set(CAPABILITIES)
    assert (out / "proof.html").stat().st_size < 40_000_000
    for measure in ("colour", "pitch", "timbre"):
        row = rows["text", measure]
        assert row["bounds"]["reencoded"]["value"] > 0.9
        assert row["made"]["value"] > row["bounds"]["untrained"]["value"]
    kept = rows["extension", "kept before it is put back"]
    assert kept["made"]["value"] > kept["bounds"]["untrained"]["value"]
