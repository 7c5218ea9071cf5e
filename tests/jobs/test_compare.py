"""Runs side by side: the page and the ranking."""

import json
import re
import shutil

import pytest

from jobs.cli import main
from jobs.comparing.runs import differences, ranked, read_run
from jobs.config import RecipeError
from jobs.training.log import read

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, shards, tiny, train_alone, alone):
    """Two that learn at different rates, for the whole route of this file."""
    folder = tmp_path_factory.mktemp("runs")
    for name, lr in (("slow", 1e-5), ("fast & <b>", 1e-2)):
        train_alone(tiny(folder / name, shards, lr=lr, validate_every=2, warmup=0))
    return folder


def test_the_better_run_is_first_and_differs_by_its_rate(runs):
    """Catches a ranking by the last training loss, or a field that is not looked at."""
    found = ranked([read_run(runs / name) for name in ("slow", "fast & <b>")])
    assert [one.name for one in found] == ["fast & <b>", "slow"]
    assert differences(found) == {"train.lr": ["0.01", "1e-05"]}
    held = [
        line["loss"] for line in read(runs / "slow/metrics.jsonl") if line["kind"] == "validation"
    ]
    assert found[1].best == min(held)


def test_what_was_computed_is_counted(runs, shards):
    """Catches FLOPs that forget the backward pass, or that start again after a resume."""
    lines = [x for x in read(runs / "slow/metrics.jsonl") if x["kind"] == "step"]
    seen = [line["flops_seen"] for line in lines]
    assert seen == sorted(set(seen))
    assert lines[-1]["flops_seen"] == pytest.approx(sum_of_forward(runs, shards, lines) * 3)


def sum_of_forward(runs, shards, lines):
    """Forward FLOPs of all samples, counted from the stream's plan anew."""
    from jobs.training.config import TrainConfig  # noqa: PLC0415
    from jobs.training.cost import sample_cost  # noqa: PLC0415
    from model.config import ModelConfig  # noqa: PLC0415
    from pipelines.stream import Stream  # noqa: PLC0415

    card = json.loads(next((runs / "slow/checkpoints").glob("step-*/model.json")).read_text())
    cost = sample_cost(ModelConfig(**card["model"]), TrainConfig())
    stream = Stream(shards, 1, 8, cost=cost)
    total = 0.0
    for (_, batch), _ in zip(stream.batches(), lines, strict=False):
        total += sum(cost(stream.reader.geometry[s.bucket]) for s in batch)
    return total


def test_the_page_is_closed_and_whole(runs, tmp_path, capsys):
    """Catches a name that becomes markup, a chart without a run, a page that loads things."""
    page = tmp_path / "compare.html"
    words = ["compare", str(runs / "slow"), str(runs / "fast & <b>"), "--page", str(page)]
    assert main(words) == 0
    text = page.read_text()
    assert "<b>" not in text.replace("<b>{", "").split("<main>")[1]
    assert "fast &amp; &lt;b&gt;" in text
    assert text.count("<polyline") == 10, "five charts of two runs"
    assert text.count("<polygon") == 2
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    said = capsys.readouterr().err
    assert "train.lr: 0.01 | 1e-05" in said
    assert said.index("fast") < said.index("slow")


def test_sample_clips_stand_beside_each_other(runs, tmp_path, world_clip):
    """Catches clips of different steps in one row."""
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder)
    for name, steps in (("slow", (4, 8)), ("fast & <b>", (4,))):
        with (folder / name / "metrics.jsonl").open("a") as log:
            for step in steps:
                file = f"samples/step-{step:08d}/00.mp4"
                (folder / name / file).parent.mkdir(parents=True)
                shutil.copy(world_clip, folder / name / file)
                line = {"kind": "samples", "step": step, "time": 0.0, "files": [file]}
                log.write(json.dumps(line) + "\n")
    page = tmp_path / "compare.html"
    assert main(["compare", *(str(p) for p in folder.iterdir()), "--page", str(page)]) == 0
    text = page.read_text()
    assert "Sample clips of step 4" in text
    assert text.count("<video") == 2


@pytest.fixture
def world_clip(tmp_path):
    from curation.world.config import WorldConfig  # noqa: PLC0415
    from curation.world.films import write_films  # noqa: PLC0415

    write_films(WorldConfig(films=1, height=48, width=48, seconds=(2, 2)), tmp_path / "world")
    return next((tmp_path / "world").glob("*.mp4"))


def test_wrong_requests_name_the_fix(runs, tmp_path, capsys):
    """Catches a comparison with a folder that holds no run."""
    with pytest.raises(RecipeError, match="holds no training run"):
        read_run(tmp_path)
    assert main(["compare", str(runs / "slow")]) == 2
    assert "at least two" in capsys.readouterr().err
    assert main(["compare", str(runs / "slow"), str(runs / "slow"), "--pages"]) == 2
