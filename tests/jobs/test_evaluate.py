"""The verb on small folders of generated clips: page, JSON, exit codes."""

import json
import re

import numpy as np
import pytest

from curation.files import write_json
from curation.media_write import write_clip
from curation.world.config import WorldConfig
from curation.world.film import make_film
from jobs import cli, evaluate
from jobs.config import RecipeError, make_recipe
from jobs.evaluate import run
from jobs.evaluating.clips import MAX_PROMPT, describe, find_clips
from jobs.evaluating.page import shown
from jobs.exporting import gate
from jobs.tracked import send_numbers

pytest.importorskip("onnxruntime", reason="the extra curate is not installed")
EVIL = "<script>alert(1)</script> a ball falls"
WORLD = WorldConfig(seed=7, fps=16, height=64, width=64, seconds=(2, 2), motions=("throw",))


def fill(folder, count, change=lambda pixels: pixels):
    folder.mkdir()
    for index in range(count):
        film = make_film(WORLD, index)
        path = folder / f"{folder.name}-{index}.mp4"
        write_clip(path, change(film.pixels), film.fps, film.samples, film.rate)
        write_json(
            path.with_suffix(".json"),
            {
                "prompt": EVIL if index else "",
                "seed": index,
                "step": 7,
                "request": {"weights": "w", "lora": [{}] if folder.name == "other" else []},
            },
        )
    return folder


def dark(pixels):
    noise = np.random.default_rng(0).normal(0, 25, pixels.shape)
    return np.clip(pixels / 2 + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluate")
    fill(out / "clips", 3)
    fill(out / "other", 3, dark)
    fill(out / "real", 2)
    (out / "clips" / "broken.mp4").write_bytes(b"\0\0\0\x18ftypisom" + b"x" * 80)
    return make_recipe(
        {"name": "t", "out": str(out), "max_rejected": 0.5, "evaluate": {"seconds": 1}}, "test"
    )


@pytest.fixture
def sent(monkeypatch):
    """What MLflow would be told; that it takes it is a slow test."""
    found = {}
    monkeypatch.setattr(evaluate, "send_numbers", lambda _, numbers, *rest: found.update(numbers))
    return found


def test_clips_are_measured_against_others_and_real_ones(recipe, sent, monkeypatch):
    """A clip that is lost, text that becomes markup, a table without its numbers."""
    out = recipe.out
    words = [str(out / "clips"), str(out / "other"), f"--reference={out / 'real'}"]
    assert run(recipe, words) == cli.DONE
    card = json.loads((out / "evaluate.json").read_text())
    made = card["folders"]["made"]
    assert [one["file"] for one in made["clips"]] == [f"clips-{n}.mp4" for n in range(3)]
    assert [one["file"] for one in made["rejected"]] == ["broken.mp4"]
    assert made["step"] == 7
    read = gate.read(out / "evaluate.json")
    assert read.folders["made"].weights == "w"
    assert read.folders["other"].weights is None, "made by a base and adapters"
    assert read.metrics[0].values["made"].clips == 3
    metrics = {one["name"]: one for one in card["metrics"]}
    flicker = metrics["temporal_flickering"]
    assert flicker["difference"]["high"] < 0
    assert flicker["better_share"] == 0
    assert flicker["values"]["made"]["clips"] == 3
    first, second = (metrics["fd_frames"]["values"][role]["value"] for role in ("made", "other"))
    assert first < second
    assert metrics["kl_sound"]["values"]["made"]["value"] < 0.1
    assert metrics["dnsmos_ovrl"]["values"]["made"] is None
    assert metrics["text_picture"]["values"]["made"]["clips"] == 2
    assert sent["evaluate/temporal_flickering"] == flicker["values"]["made"]["value"]
    assert sent["evaluate/fd_frames/other"] == second
    page = (out / "evaluate.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert len(re.findall("<video", page)) == 5  # the clip without a prompt has no pair
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_too_many_broken_files_are_a_code_of_their_own(recipe, sent, tmp_path):
    """A folder of which half is unreadable that passes for measured."""
    strict = recipe.model_copy(update={"max_rejected": 0.1})
    page = tmp_path / "some.html"
    config = recipe.evaluate.model_copy(update={"clips": 2})
    assert run(strict.model_copy(update={"evaluate": config}), [f"--page={page}"]) == (
        cli.TOO_MANY_REJECTED
    )
    assert page.is_file()
    assert json.loads(page.with_suffix(".json").read_text())["folders"]["made"]["rejected"]


def test_a_wrong_request_is_told(recipe, tmp_path):
    """A trace in place of the field and the fix."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match="no film"):
        run(recipe, [str(tmp_path / "empty")])
    with pytest.raises(RecipeError, match="no folder"):
        run(recipe, [str(tmp_path / "none")])
    with pytest.raises(RecipeError, match="two folders"):
        run(recipe, ["a", "b", "c"])
    networks = {"evaluate": {"networks": {"dino": str(tmp_path / "no.pt")}}}
    wrong = make_recipe({"name": "t", "out": str(recipe.out), **networks}, "test")
    with pytest.raises(RecipeError, match=r"networks\.dino"):
        run(wrong, [])


def test_a_json_that_is_not_ours_says_nothing(tmp_path):
    """A crash, or a page of a stranger's text, from what lies beside a clip."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    for text in ("[1]", '{"prompt": 3}', "{", "null"):
        path.with_suffix(".json").write_text(text)
        assert describe(path).prompt == ""
    path.with_suffix(".json").write_text(json.dumps({"prompt": "a\x00b\n" + "c" * 9000}))
    assert describe(path).prompt.startswith("a b c")
    assert len(describe(path).prompt) <= MAX_PROMPT
    assert [clip.path.name for clip in find_clips(tmp_path)] == ["a.mp4"]


def test_the_command_knows_its_words(tmp_path, capsys):
    """An option that the command line takes for a field of the recipe."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: t\nout: {tmp_path / 'out'}\n")
    words = ["evaluate", str(recipe), str(tmp_path / "a"), "--reference", str(tmp_path / "b")]
    assert cli.main(words) == cli.WRONG_REQUEST
    assert "there is no folder" in "".join(capsys.readouterr())
    assert shown({"made": evaluate.Folder("x")}, 3) == []


@pytest.mark.slow
def test_mlflow_has_the_numbers(tmp_path):
    """Numbers that go nowhere, or under names that MLflow refuses."""
    from mlflow import MlflowClient  # noqa: PLC0415 - 3 s

    recipe = make_recipe({"name": "t", "out": str(tmp_path / "out")}, "test")
    send_numbers(recipe, {"evaluate/fd (a)/low": 2.5}, "evaluate", 7)
    client = MlflowClient(tracking_uri=recipe.tracking_uri)
    (run_,) = client.search_runs([client.get_experiment_by_name("t").experiment_id])
    assert run_.data.metrics == {"evaluate/fd a/low": 2.5}
    assert run_.info.run_name == "evaluate t"
    assert run_.info.status == "FINISHED"
