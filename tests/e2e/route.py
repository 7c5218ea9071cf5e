"""The whole route at its smallest, as a person runs it: the demo in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

from jobs.config import Recipe, load_recipe
from pipelines.contract import find_set, read_contract
from pipelines.ledger import Ledger

ROOT = Path(__file__).parents[2]
STEPS, CLIPS = 12, 4
RECIPE = """
name: small
out: {out}
world: {{films: 16, defects: {{silence: 0.1, freeze: 0.1}}}}
scan:
  sources: [{out}/films]
  val_share: 0.2
  window: {{fps: 8, min_s: 2.0, max_s: 2.2}}
encode: {{shard_clips: 4, text: [short]}}
train:
  model: {{width: 32, heads: 2, dual: 1, single: 1}}
  steps: {steps}
  global_batch: 4
  warmup: 4
  validate_every: 6
  validate_samples: 2
  sample_every: 0
  checkpoint_every: 3
generate: {{count: {clips}, steps: 3}}
"""


def write_recipe(folder: Path) -> Path:
    """The recipe of a run below `folder`."""
    path = folder / "small.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(RECIPE.format(out=folder / "small", steps=STEPS, clips=CLIPS))
    return path


def command(recipe: Path) -> list[str]:
    """What a person types."""
    return [sys.executable, "-m", "jobs.demo", str(recipe)]


def run(recipe: Path, timeout_s: float = 1500) -> subprocess.CompletedProcess:
    """Run the demo to its end."""
    return subprocess.run(
        command(recipe),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def results(recipe: Path) -> dict:
    """What two equal runs have in common: ids, hashes, losses; no path, no time."""
    loaded: Recipe = load_recipe(recipe)
    ledger = Ledger(loaded.data.ledger)
    contract = read_contract(find_set(loaded.data))
    lines = [json.loads(x) for x in (loaded.out / "metrics.jsonl").read_text().splitlines()]
    return {
        "clips": ledger.read("clips")["clip_id"].to_pylist(),
        "sources": sorted(
            (row["source_id"] or "", row["status"], row["reason"] or "")
            for row in ledger.rows("sources")
        ),
        "shards": [(shard["name"], shard["sha256"]) for shard in contract["shards"]],
        "contract": contract["fingerprint"],
        "losses": {x["step"]: x["loss"] for x in lines if x["kind"] == "step"},
    }
