"""Exports: complete on disk first, a version in MLflow, an alias only for weights that passed."""

import json
import shutil

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from benchmarks.random_shards import make_set
from curation.files import sha256_file, write_json, write_text
from jobs import export, generate
from jobs.cli import DONE, FAILED
from jobs.config import RESOLVED, RecipeError, load_recipe, make_recipe, recipe_text
from jobs.exporting import folder
from jobs.exporting.gate import RefusedError, judged
from jobs.training import checkpoint
from jobs.training.init_config import InitConfig
from jobs.training.loop import train_worker
from jobs.training.start import start_from
from model.config import ModelConfig
from model.mmdit import MMDiT
from tests.embedded_vaes import save_vaes, with_vaes

pytestmark = pytest.mark.usefixtures("alone")
REQUIRE = {"av_align": 0.2, "fd_frames": 40}
ASKED = {"prompt": "a `red` | ball", "count": 2, "steps": 1, "threads": 1}


def recipe_in(out, **changes):
    values = {"name": "tiny", "out": str(out), "generate": ASKED}
    return make_recipe({**values, "export": {"require": REQUIRE, **changes}}, "a test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """A run of 2 steps and two clips of it."""
    root = tmp_path_factory.mktemp("export")
    vaes = save_vaes(root / "vaes")
    make_set(root / "shards", {5: 16}, size=32, channels=16, text_dim=384, val=3)
    job = tiny(root / "out", root / "shards", steps=2, validate_every=2)
    train_worker({"job": with_vaes(job, vaes)})
    recipe = recipe_in(root / "out")
    write_text(recipe.out / RESOLVED, recipe_text(recipe))
    assert generate.run(recipe, []) == DONE
    return root / "out"


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run, to be changed."""
    return recipe_in(shutil.copytree(trained, tmp_path / "out"))


@pytest.fixture
def tracked(run, empty_mlflow):
    shutil.copy(empty_mlflow, run.out.parent / "mlflow.db")
    return run, MlflowClient(run.tracking_uri)


def weights(recipe):
    return sha256_file(checkpoint.newest(recipe.out / "checkpoints") / "ema.safetensors")


def evaluation(recipe, align=(0.3, 0.25, 0.35, 9), distance=(30.0, 20.0, 39.0, 9), **made):
    """An evaluation as `evaluate` writes it; test_evaluate holds the names to the real one."""
    keys = "value", "low", "high", "clips"
    lines = [
        {"name": name, "values": {"made": values and dict(zip(keys, values, strict=True))}}
        for name, values in (("av_align", align), ("fd_frames", distance))
    ]
    made = {"path": "clips", "weights": weights(recipe), "rejected": [], **made}
    path = recipe.out / "evaluate.json"
    write_json(path, {"metrics": lines, "folders": {"made": made}})
    return path


def test_generate_and_train_take_it_as_it_is(trained, run, tmp_path):
    """Catches an export that lacks what its readers need, or that makes other clips."""
    made = folder.write(run)
    step = made.folder / "step-00000002"
    cards = sorted((step / "clips").glob("*.json"))
    assert len(cards) == 2
    kept = recipe_in(tmp_path / "elsewhere")
    there = kept.generate.model_copy(update={"checkpoint": made.folder})
    kept = kept.model_copy(update={"generate": there})
    assert generate.run(kept, [str(cards[0])]) == DONE, "other bytes"
    card = checkpoint.read_card(step)
    model = MMDiT(ModelConfig(**card["model"]))
    assert start_from(model, InitConfig(path=str(made.folder))) == []
    wanted = load_file(checkpoint.newest(run.out / "checkpoints") / "ema.safetensors")
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    assert load_recipe(step / RESOLVED) == recipe_in(trained)
    about = json.loads((step / "export.json").read_text())
    assert about["contract"] == card["data"]
    text = (step / "README.md").read_text()
    assert "`a 'red' / ball`" in text
    assert "| held-out loss | " in text
    assert "not measured" not in text
    assert not list(step.rglob("rank-*")), "what only training needs"


def test_a_damaged_export_is_made_anew_and_a_whole_one_stays(run, capfd):
    """Catches a copy that is trusted because its folder is there, and one made twice."""
    first = folder.write(run)
    file = first.folder / "step-00000002" / "ema.safetensors"
    before = file.stat().st_mtime_ns
    assert folder.write(run) == first
    assert file.stat().st_mtime_ns == before
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert folder.write(run) == first
    assert "does not match its hash; exporting it anew" in capfd.readouterr().err
    assert file.read_bytes() == data


def test_what_cannot_be_exported_is_said(run):
    """Catches weights that are no numbers, a film that was swapped, a run without its recipe."""
    film = next((run.out / "clips").glob("*.mp4"))
    whole = film.read_bytes()
    film.write_bytes(whole + b"x")
    with pytest.raises(RecipeError, match=f"{film.name} is missing or not the film"):
        folder.write(run)
    film.write_bytes(whole)
    (run.out / RESOLVED).rename(run.out / "kept")
    with pytest.raises(RecipeError, match=r"no .*recipe\.yaml; give `reelmill train` once more"):
        folder.write(run)
    (run.out / "kept").rename(run.out / RESOLVED)
    step = checkpoint.newest(run.out / "checkpoints")
    tensors = load_file(step / "ema.safetensors")
    next(iter(tensors.values())).view(-1)[0] = torch.inf
    save_file(tensors, step / "ema.safetensors")
    checkpoint.seal(step, 2)
    with pytest.raises(RecipeError, match="NaN or Inf"):
        folder.write(run)
    with pytest.raises(RecipeError, match=r"no checkpoint in .*run train"):
        folder.write(recipe_in(run.out / "clips"))
    assert not (run.out / "exports").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"align": (0.3, 0.19, 0.4, 9)}, r"0\.3 \[0\.19…0\.4\].*: 0\.19 is 0\.01 below 0\.2"),
        ({"distance": (30, 20, 44.5, 9)}, r"fd_frames 30 .*44\.5 is 4\.5 above 40"),
        ({"align": None}, "av_align was not measured"),
        ({"align": (0.3, float("nan"), 0.4, 9)}, "av_align .* nan"),
        ({"align": (1.0, 1.0, 1.0, 1)}, "av_align stands on 1 clips, not 8"),
        ({"align": (0.1, 0.1, 0.1, 9), "distance": None}, "below 0.2; fd_frames was not measured"),
        ({"weights": "0" * 64}, "other weights"),
        ({"weights": None}, "other weights"),
        ({"rejected": [{"file": "a.mp4", "why": "cut"}]}, r"leaves out 1 clips .* a\.mp4"),
        ({"rejected": None}, r"not an evaluation of this version \(folders\.made\.rejected\)"),
    ],
)  # fmt: skip
def test_what_does_not_pass_is_named_with_its_gap(run, changes, message):
    """Catches weights that pass by their mean, by one clip, by null, or by others' evaluation."""
    path = evaluation(run)
    assert [one.metric for one in judged(path, weights(run), run.export)] == list(REQUIRE)
    with pytest.raises(RefusedError, match=message):
        judged(evaluation(run, **changes), weights(run), run.export)


def test_a_gate_needs_an_evaluation_and_a_bar(run):
    """Catches an alias that moves because nothing was asked, or nothing was there."""
    nothing = recipe_in(run.out, require={}).export
    with pytest.raises(RefusedError, match=r"export\.require is empty"):
        judged(evaluation(run), weights(run), nothing)
    path = run.out / "evaluate.json"
    path.write_text("{")
    with pytest.raises(RefusedError, match="not an evaluation of this version"):
        judged(path, weights(run), run.export)
    path.unlink()
    with pytest.raises(RefusedError, match="run `reelmill evaluate`"):
        judged(path, weights(run), run.export)
    with pytest.raises(RecipeError, match="'dynamic_degree' cannot be required; there are av_al"):
        recipe_in(run.out, require={"dynamic_degree": 1})


def test_the_alias_moves_once_the_weights_pass(tracked, tmp_path, capfd):
    """Catches an alias on weights that failed, versions that double, files that do not arrive."""
    run, client = tracked
    evaluation(run, align=(0.3, 0.1, 0.4, 9))
    assert export.run(run, ["--alias=champion"]) == FAILED
    assert "champion stays where it is: av_align" in capfd.readouterr().err
    (model,) = client.search_registered_models()
    assert (model.name, model.aliases) == ("tiny", {})
    evaluation(run)
    assert export.run(run, ["--alias=champion"]) == DONE
    (version,) = client.search_model_versions("name = 'tiny'")
    assert client.get_model_version_by_alias("tiny", "champion").version == version.version
    assert version.tags["weights"] == weights(run)
    assert version.tags["passed.av_align"] == "av_align 0.3 [0.25…0.35] of 9 clips"
    assert client.get_run(version.run_id).info.run_name == "export tiny"
    files = client.get_model_version_download_uri("tiny", version.version)
    fetched = shutil.copytree(files.removeprefix("file://"), tmp_path / "fetched")
    assert checkpoint.newest(fetched).name == "step-00000002", "the manifest came with it"


def test_an_outage_keeps_the_export(run, capfd):
    """Catches an export that is lost with the tracking server, or a trace in place of a code."""
    write_json(run.out / "run.json", {"uri": "http://127.0.0.1:9", "run_id": "0" * 32})
    assert export.run(run, []) == FAILED
    assert "the same command registers it" in capfd.readouterr().err
    (made,) = (run.out / "exports").iterdir()
    assert checkpoint.newest(made).name == "step-00000002"


def test_a_wrong_word_is_refused(run):
    """Catches an alias that MLflow keeps for itself, and a word that is read as nothing."""
    for words in (["--alias=v3"], ["--alias=latest"], ["--alias=A b"], ["x"], ["--alias=a"] * 2):
        with pytest.raises(RecipeError, match="alias"):
            export.run(run, words)
