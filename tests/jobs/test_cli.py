"""One command shape for every verb."""

import subprocess
import sys

import pytest

from jobs import cli
from jobs.config import RecipeError


def test_words_become_positional_and_overrides():
    """`--a.b=c`, `--a.b c` and plain words mixed up, or a value that holds an equals sign cut."""
    words = ["demo.yaml", "--scan.stride=2", "more", "--generate.prompt", "a=b", "--name=--odd"]
    positional, overrides = cli.split_words(words)
    assert positional == ["demo.yaml", "more"]
    assert overrides == {"scan.stride": "2", "generate.prompt": "a=b", "name": "--odd"}


@pytest.mark.parametrize("words", [["--seed"], ["--seed", "--name", "x"]])
def test_override_without_value_is_a_wrong_request(words):
    """An option that swallows the next option as its value."""
    with pytest.raises(RecipeError, match="--seed needs a value"):
        cli.split_words(words)


def test_unknown_verb_names_the_verbs(capsys):
    """A typo answered by a trace instead of the list of verbs."""
    assert cli.main(["trian"]) == cli.WRONG_REQUEST
    assert "train" in capsys.readouterr().err


def test_verb_without_recipe_says_what_is_missing(capsys):
    """`reelmill decide` alone ending in an IndexError."""
    assert cli.main(["report"]) == cli.WRONG_REQUEST
    assert "needs a recipe" in capsys.readouterr().err


def test_wrong_recipe_is_exit_code_two_without_a_trace(tmp_path, capsys):
    """A user's typo shown as a trace of our code."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\nout: y\nscam: {}\n")
    assert cli.main(["report", str(recipe)]) == cli.WRONG_REQUEST
    error = capsys.readouterr().err
    assert "scam" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_every_verb_has_help(verb, capsys):
    """A verb without a docstring, or one whose SECTIONS name no section of the recipe."""
    assert cli.main([verb, "--help"]) == cli.DONE
    text = capsys.readouterr().err
    assert f"reelmill {verb}" in text
    assert len(text.splitlines()) > 2


def test_overview_lists_every_verb():
    """A verb that works but that nobody can find."""
    text = cli.overview()
    assert all(f"  {verb}" in text for verb in cli.VERBS)


def test_stopped_by_hand_is_resumable(monkeypatch, tmp_path, capsys):
    """Ctrl-C shown as a failure, so that schedulers do not run the command again."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: x\nout: {tmp_path}\n")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("jobs.report.run", stop)
    assert cli.main(["report", str(recipe)]) == cli.STOPPED
    assert "again" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["report", "doctor"])
def test_module_and_command_are_one(verb):
    """`python -m jobs.<verb>` that does nothing, silently, under a Ray job."""
    command = [sys.executable, "-m", f"jobs.{verb}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert f"reelmill {verb}" in done.stderr
