"""The verb: verdicts of every phase, and what would change."""

from pathlib import Path

import pytest
import yaml

from jobs.cli import main
from jobs.config import load_recipe
from pipelines.ledger import Ledger
from pipelines.verdicts import verdict_fingerprint


@pytest.fixture
def paths(tmp_path):
    """Two recipes over one ledger of ten clips whose motion is 0.0 to 0.9."""
    found = []
    for name, least in (("a", 0.2), ("b", 0.5)):
        path = tmp_path / f"{name}.yaml"
        policy = {
            "rules": [{"score": "motion", "min": least}],
            "phases": {"high": {"rules": [{"score": "motion", "min": 0.8}]}},
        }
        path.write_text(yaml.safe_dump({"name": name, "out": str(tmp_path), "policy": policy}))
        found.append(str(path))
    recipe = load_recipe(tmp_path / "a.yaml")
    scan, ledger = recipe.scan.fingerprint(), Ledger(recipe.data.ledger)
    ids = [f"c{i}" for i in range(10)]
    clips = [{"clip_id": i, "start_s": 0.0, "end_s": 360.0, "fingerprint": scan} for i in ids]
    ledger.replace("clips", clips)
    scores = [{"clip_id": i, "motion": n / 10, "has_sound": 1.0} for n, i in enumerate(ids)]
    ledger.replace(f"scores/scan@{scan}", scores)
    return found


def test_every_phase_gets_its_verdicts(paths, capsys):
    """A phase whose verdicts are those of the policy, or are never written."""
    assert main(["decide", paths[0]]) == 0
    recipe = load_recipe(Path(paths[0]))
    scan, ledger = recipe.scan.fingerprint(), Ledger(recipe.data.ledger)
    kept = {}
    for phase in ("", "high"):
        name = verdict_fingerprint(recipe.policy.phase(phase), scan)
        kept[phase] = sum(r["status"] == "ok" for r in ledger.rows(f"verdicts/{name}"))
    assert kept == {"": 8, "high": 2}
    assert "decide high: 10 clips = 2 ok" in capsys.readouterr().err


@pytest.mark.parametrize(("phase", "code"), [("", 0), ("high", 3)])
def test_an_empty_phase_stops_only_its_own_set(paths, capsys, phase, code):
    """A chain that ends before it encodes because a phase that nobody encodes now is empty."""
    recipe = yaml.safe_load(Path(paths[0]).read_text())
    recipe["policy"]["phases"]["high"]["rules"][0]["min"] = 0.95
    Path(paths[0]).write_text(yaml.safe_dump(recipe))
    assert main(["decide", paths[0], "--encode.phase", repr(phase)]) == code
    assert "relax policy.phases.high.rules" in capsys.readouterr().err


@pytest.mark.parametrize(("other", "lost"), [("b.yaml", "3     0.300"), ("high", "6     0.600")])
def test_diff_tells_hours_and_writes_nothing(paths, capsys, tmp_path, other, lost):
    """A comparison that commits what it only should show, or names the wrong side."""
    second = str(tmp_path / other) if other.endswith("yaml") else other
    assert main(["decide", "--diff", paths[0], second]) == 0
    out = capsys.readouterr().err
    assert lost in out
    assert "- policy:motion" in out
    assert not (tmp_path / "data" / "ledger" / "verdicts").exists()


@pytest.mark.parametrize("words", [[], ["no.yaml"], ["high", "high"]])
def test_diff_without_a_second_policy_says_so(paths, capsys, words):
    """A trace, or a comparison of a policy with itself."""
    assert main(["decide", "--diff", paths[0], *words]) == 2
    assert "reelmill decide:" in capsys.readouterr().err
