"""The verb `judge`: what it refuses before any work."""

import pytest

from jobs import judge
from jobs.cli import DONE, WRONG_REQUEST
from jobs.config import RecipeError, make_recipe


def recipe(folder, **settings):
    return make_recipe({"name": "t", "out": str(folder), "judge": settings}, "r.yaml")


def test_no_judges_is_done_without_work(tmp_path, capsys):
    """A demo that fails, or downloads models, because it wants none."""
    assert judge.run(recipe(tmp_path), []) == DONE
    assert "names no judges" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_clips_is_a_wrong_request(tmp_path, capsys):
    """A success that hides that the scan was forgotten."""
    assert judge.run(recipe(tmp_path, judges=["text"]), []) == WRONG_REQUEST
    assert "reelmill scan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"lips": {"path": "/no/net.onnx"}}, "judge.lips.path"),
        ({"clip": {"name": "ViT-B-32", "weights": "/no/clip.pt"}}, "judge.clip.weights"),
    ],
)
def test_an_adapter_without_its_file_is_named(tmp_path, settings, field):
    """A film judged without the model that its recipe names, or every clip failed for it."""
    with pytest.raises(RecipeError, match=field.replace(".", r"\.")):
        judge.run(recipe(tmp_path, judges=["lips"], **settings), [])


def test_an_unknown_judge_names_the_known(tmp_path):
    """A typo that turns a judge off."""
    with pytest.raises(RecipeError, match="lips"):
        recipe(tmp_path, judges=["lip"])
