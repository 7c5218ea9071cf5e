"""Training on several ranks without Ray: processes of this machine, in a third of the time."""

import json
import os
import subprocess
import sys
from pathlib import Path

from jobs.training.config import TrainConfig
from jobs.training.engine import environment
from tests.ray_head import free_ports

ROOT = Path(__file__).parents[1]
WORKER = """
import json, sys
from pathlib import Path
from jobs.config import Recipe
from jobs.training.config import TrainConfig
from jobs.training.engine import process_group
from jobs.training.loop import train_worker
from jobs.training.prepare import make_job
from jobs.training.run import begin
out, shards, port, rank, world, steps, train = sys.argv[1:]
process_group(int(port), int(rank), int(world))
recipe = Recipe(name="tiny", out=Path(out), seed=1, train=TrainConfig(**json.loads(train)))
job = make_job(recipe, Path(shards))
if steps == "train":
    train_worker({"job": job})
else:
    begin(job).engine.save(Path(out) / steps)
"""


def train_ranks(out: Path, shards: Path, world: int, *, again: str = "", **train) -> None:
    """Train with `world` ranks until the recipe's last step, or only resume and save in `again`.

    Raises CalledProcessError.
    """
    out.mkdir(exist_ok=True)
    if again:
        (out / again).mkdir()
    (port,) = free_ports(1)
    given = json.dumps({**train, "workers": world})
    command = [sys.executable, "-c", WORKER, str(out), str(shards), str(port)]
    env = os.environ | environment(TrainConfig(**train)) | {"PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(
            [*command, str(rank), str(world), again or "train", given], env=env, cwd=ROOT
        )
        for rank in range(world)
    ]
    try:
        for process in running:
            if code := process.wait(timeout=300):
                raise subprocess.CalledProcessError(code, command[:2])
    finally:
        for process in running:
            process.kill()
            process.wait()
