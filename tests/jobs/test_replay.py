"""Failures of a reason are tried again, in the pass where they failed."""

import pytest
import yaml

from curation.world.config import WorldConfig
from curation.world.films import film_path, write_film
from jobs import cli, replay
from jobs.config import RecipeError, load_recipe
from pipelines.dead_letters import DeadLetter
from pipelines.ledger import Ledger


@pytest.fixture
def recipe(tmp_path):
    """A folder of a film that was cut short while it was copied, a text and an empty file."""
    films = tmp_path / "films"
    world = WorldConfig(seed=3, fps=8, height=64, width=96, seconds=(2, 2))
    write_film(world, films, 0)
    path = film_path(films, 0)
    (tmp_path / "whole.mp4").write_bytes(path.read_bytes())
    path.write_bytes(path.read_bytes()[:4_000])
    (films / "text.mp4").write_text("not a film")
    (films / "empty.mp4").touch()
    values = {"name": "t", "out": str(tmp_path / "out"), "max_rejected": 1.0}
    values["scan"] = {"sources": [str(films)], "window": {"min_s": 1.0, "max_s": 2.0}}
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.mark.slow
def test_only_the_named_reason_is_tried_again(recipe, local_ray, capsys):
    """A replay that leaves a mended film alone, takes up another reason, or does not say what
    became of it."""
    assert cli.main(["scan", str(recipe)]) == cli.DONE
    ledger = Ledger(load_recipe(recipe).data.ledger)
    before = {row["path"]: row for row in ledger.rows("sources")}
    assert sorted(row["reason"] for row in before.values()) == [
        "corrupt",
        "empty",
        "format_not_allowed",
    ]
    films = recipe.parent / "films"
    path = film_path(films, 0)
    path.write_bytes((recipe.parent / "whole.mp4").read_bytes())
    words = ["--reason", "corrupt", "--reason=format_not_allowed"]
    assert cli.main(["replay", str(recipe), *words]) == cli.DONE
    said = capsys.readouterr().err
    assert "scan: 2 films = 1 ok + 0 filtered + 1 failed" in said
    assert "of 2 failures 1 are gone, 1 are still there" in said
    after = {row["path"]: row for row in ledger.rows("sources")}
    assert (after[str(path)]["status"], after[str(path)]["attempts"]) == ("ok", None)
    assert after[str(films / "text.mp4")]["attempts"] == 2
    assert after[str(films / "empty.mp4")] == before[str(films / "empty.mp4")]


def test_a_wrong_reason_is_refused_before_any_work(tmp_path, capsys):
    """A replay of nothing that looks like success."""
    file = tmp_path / "recipe.yaml"
    file.write_text(f"name: t\nout: {tmp_path}\n")
    assert cli.main(["replay", str(file)]) == cli.WRONG_REQUEST
    assert "--reason X" in capsys.readouterr().err
    assert cli.main(["replay", str(file), "--reason"]) == cli.WRONG_REQUEST
    assert "--reason needs a value" in capsys.readouterr().err
    assert cli.main(["replay", str(file), "--reason", "corrupt"]) == cli.WRONG_REQUEST
    assert "nothing has failed" in capsys.readouterr().err


def test_a_failure_is_gone_or_still_there():
    """A count that takes another failure of the same film for a success."""

    def letter(path, reason, name=""):
        return DeadLetter("scan", "", name, path, reason, 1, "")

    before = [letter("a", "timeout"), letter("b", "timeout"), letter("c", "timeout")]
    after = [letter("b", "timeout"), letter("c", "corrupt", "id")]
    said = replay.told(before, after)
    assert "of 3 failures 1 are gone, 2 are still there (1 for another reason)" in said
    assert replay.told(before, []).endswith("3 are gone")
    with pytest.raises(RecipeError):
        cli.take_options(["--reason"], ("reason",))
