"""`reelmill plan model`: asked on the command line, answered in tables and JSON."""

import json

import pytest

from jobs import plan_model
from jobs.cli import DONE, WRONG_REQUEST, main
from model.config import SIZES, named_config
from model.flops import forward_flops, token_counts


def test_figures_are_those_of_the_formulae(tmp_path, capsys):
    """Catches figures that are printed for another size, clip or unit than they are named for."""
    out = tmp_path / "plan.json"
    words = ["plan", "model", "1b", "--resolution", "480p", "--seconds", "[2, 15]"]
    words += ["--fps", "[16, 32]", "--gpus", "16", "--zero", "3", "--mfu", "0.5", "--out", str(out)]
    assert main(words) == DONE
    found = json.loads(out.read_text())["sizes"]["1b"]
    assert [clip["clip"] for clip in found["clips"]] == [
        "480p 2 s 16 fps", "480p 2 s 32 fps", "480p 15 s 16 fps", "480p 15 s 32 fps",
    ]  # fmt: skip
    config = SIZES["1b"]
    clip = plan_model.ModelPlan().geometry(config, "480p", 15, 16)
    assert (clip.frames, clip.height, clip.width) == (241, 480, 848)
    tokens = token_counts(config, clip)
    assert tokens == (61 * 30 * 53, 649)  # 15.06 s of 44,100 / 1,024 latents
    third = found["clips"][2]
    assert (third["video"], third["audio"]) == tokens
    assert third["training"] == 3 * forward_flops(config, *tokens, 256)
    assert third["step_seconds"] == pytest.approx(third["training"] / (0.5 * 989e12))
    assert found["states"]["zero_3"]["weights"] == found["weights"]["total"] * 2 / 16
    shown = capsys.readouterr().err
    assert "1b: 1.22 B weights: picture" in shown
    assert "480p 15 s 16 fps" in shown


def test_one_modality_leaves_the_other_out(tmp_path):
    """Catches a picture-only plan that pays for sound."""
    settings = plan_model.read_settings({"make": "picture", "seconds": "5"})
    found = plan_model.clip(named_config("tiny"), settings, "256p", 5, 16)
    assert found["audio"] == 0
    assert found["forward"] == forward_flops(named_config("tiny"), found["video"], 0, 256)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["huge"], "tiny"),
        (["1b", "--resolution", "4k"], "resolution"),
        (["1b", "--zero", "4"], "zero"),
        (["1b", "--colour", "red"], "colour"),
        (["1b", "--model.wdith", "64"], "wdith"),
    ],
)
def test_wrong_requests_name_what_is_wrong(words, said, capsys):
    """Catches a typo that is ignored, so that the plan is of something else."""
    assert main(["plan", "model", *words]) == WRONG_REQUEST
    assert said in capsys.readouterr().err


def test_help_names_every_field(capsys):
    """Catches `plan model --help` that shows the help of the other plan."""
    assert main(["plan", "model", "--help"]) == DONE
    shown = capsys.readouterr().err
    assert "--mfu" in shown
    assert "--route.share" in shown
