"""The verbs with films and data in an object store, on Ray, behind a connection that errs."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curation.places import place
from curation.world.config import WorldConfig
from curation.world.films import write_film
from jobs.cli import DONE, main
from jobs.config import load_recipe
from pipelines.contract import find_set
from pipelines.ledger import Ledger
from tests.encode_films import write_vaes

pytestmark = pytest.mark.slow
LOOK = {"fps": 16, "height": 64, "width": 96, "seconds": (3, 3), "motions": ("fall", "throw")}
RECIPE = """
name: small
out: {out}
storage: {storage}
max_rejected: 1
scan: {{sources: ["{films}"], val_share: 0.4, window: {{fps: 8, min_s: 2.0, max_s: 2.2}}}}
policy: {{rules: []}}
encode:
  video_vae: {vaes}
  audio_vae: {vaes}
  renditions: [{{height: 32, width: 32, fps: 8, frames: 17}}]
  text: [short]
  shard_clips: 1
  workers: 2
train:
  model: {{width: 16, heads: 2, dual: 1, single: 1}}
  steps: 2
  global_batch: 2
  captions: {{short: 1, long: 0, structured: 0}}
  workers: 1
  sample_every: 0
generate: {{steps: 2, count: 1}}
"""


@dataclass
class Made:
    """A recipe that was run, and where its data lie."""

    recipe: Path
    data: Any

    def results(self) -> dict[str, Any]:
        """What does not depend on where data lie."""
        ledger = Ledger(self.data.ledger)
        return {
            "tables": ledger.tables(),
            "clips": ledger.read("clips")["clip_id"].to_pylist(),
            "films": [
                (row["source_id"], row["status"], row["reason"]) for row in ledger.rows("sources")
            ],
            "files": {path.name: path.read_bytes() for path in find_set(self.data).iterdir()},
        }


def run(folder: Path, films: str, storage: str, vaes: Path) -> Made:
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "small.yaml"
    text = RECIPE.format(out=folder / "out", storage=storage, films=films, vaes=vaes)
    recipe.write_text(text)
    for verb in ("scan", "decide", "caption", "encode", "verify"):
        assert main([verb, str(recipe)]) == DONE, verb
    return Made(recipe, load_recipe(recipe).data)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Three films with sidecars, a file that is none, and an empty one."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(3):
        write_film(WorldConfig(seed=2, backgrounds=("texture",), **LOOK), folder, number)
    (folder / "text.mp4").write_text("not a film")
    (folder / "z empty #1?.mp4").touch()
    return folder


def test_the_verbs_do_the_same(films, store, proxy, tmp_path, local_ray, capsys):
    """A worker without access, or a table, verb or row that knows folders only."""
    write_vaes(tmp_path)
    here = run(tmp_path / "here", str(films), str(tmp_path / "data"), tmp_path)
    for path in films.iterdir():
        (place(store.uri("films/route")) / path.name).upload(path)
    proxy.err_once("503", "drop", "cut", "lose")
    uris = [store.uri(f"films/{name}", proxy.port) for name in ("route", "route-data")]
    there = run(tmp_path / "there", *uris, tmp_path)
    assert len(proxy.met) > 100
    assert here.results() == there.results()
    assert len(here.results()["films"]) == 5
    out = load_recipe(there.recipe).out
    assert main(["train", str(there.recipe)]) == DONE
    shutil.rmtree(out)  # another machine
    assert main(["generate", str(there.recipe), "--generate.prompt", "a ball falls"]) == DONE
    assert list((out / "clips").glob("*.mp4"))
    assert main(["train", str(there.recipe)]) == DONE, "finished, as its copy says"
    capsys.readouterr()
    assert main(["failures", str(there.recipe), "--json"]) == DONE
    told = capsys.readouterr().out
    assert "format_not_allowed" in told
    assert '"empty"' in told
    assert main(["replay", str(there.recipe), "--reason", "empty"]) == DONE
    assert main(["report", str(there.recipe)]) == DONE
    assert (tmp_path / "there/out/report.html").is_file()
    source = Ledger(there.data.ledger).read("clips")["source_id"][0].as_py()
    assert main(["takedown", str(there.recipe), source]) == DONE
    assert main(["verify", str(there.recipe)]) == DONE
    assert source not in str(Ledger(there.data.ledger).rows("clips"))
