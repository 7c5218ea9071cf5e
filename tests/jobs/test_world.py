import json

from jobs.cli import main


def test_the_verb_writes_films_and_says_what_they_hold(tmp_path, capsys):
    """Catches a verb that ignores its recipe's folder or counts wrongly."""
    recipe = tmp_path / "recipe.yaml"
    out = json.dumps(str(tmp_path / "run"))
    recipe.write_text(f"name: t\nout: {out}\nworld: {{films: 2, height: 48, width: 48}}\n")
    assert main(["world", str(recipe)]) == 0
    said = capsys.readouterr().err
    folder = tmp_path / "run" / "films"
    truths = [json.loads(p.read_text()) for p in sorted(folder.glob("*.truth.json"))]
    impacts = sum(len(t["events"]) for t in truths)
    assert f"2 films, 4 s, in {folder}" in said
    assert f"{impacts} impact" in said
