"""The judges' pass on Ray over a ledger of generated films, with models and without."""

import json
from pathlib import Path

import pytest

from curation.judges.config import ClipModel, JudgeConfig
from curation.world.config import WorldConfig
from curation.world.films import film_path, write_film
from pipelines import batches, judge_actors
from pipelines import judge as judging
from pipelines.judge import (
    CLIPS_A_TASK,
    counted_task,
    cropped,
    judge,
    lacking,
    tasks,
    together,
)
from pipelines.ledger import Ledger

pytest.importorskip("rapidocr", reason="the extra curate is not installed")
FP = "f" * 12
LOOK = {"fps": 8, "height": 64, "width": 96, "seconds": (2, 2)}


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """Two films of two clips each; model files can be had nowhere."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("REELMILL_CACHE", str(tmp_path / "cache"))
    ledger = Ledger(tmp_path / "ledger")
    for number in range(2):
        write_film(WorldConfig(seed=4, **LOOK), tmp_path, number)
        path = film_path(tmp_path, number)
        ledger.append("clips", [
            {"clip_id": f"{number}-{i}", "source_id": str(number), "path": str(path),
             "start_s": float(i), "end_s": i + 1.0, "has_audio": True, "fingerprint": FP}
            for i in range(2)
        ])  # fmt: skip
    return ledger


def rows(ledger, config, name):
    return {row["clip_id"]: row for row in ledger.rows(config.tables()[name])}


def test_each_judge_has_its_rows_and_only_what_is_missing_is_done(
    ledger, local_ray, monkeypatch, capsys
):
    """A clip without a row, a missing model that passes for an answer, or work done twice."""
    config = JudgeConfig(judges=("text", "faces"), side=64)
    tally = judge(config, ledger, FP)
    assert (tally.total, tally.status["ok"], tally.status["skipped"]) == (8, 4, 4)
    assert tally.reasons == {"no_model": 4}
    assert capsys.readouterr().err.count("judge: no faces:") == 1
    text = rows(ledger, config, "text")
    assert all(row["status"] == "ok" and row["text_area"] is not None for row in text.values())
    faces = rows(ledger, config, "faces")
    assert set(faces) == set(text)
    assert all(row["faces"] is None and row["reason"] == "no_model" for row in faces.values())

    before = [p.name for p in ledger.folder.rglob("scores/text*/*")]
    monkeypatch.setattr(judge_actors, "judge_all", lambda *_: pytest.fail("it judged again"))
    again = judge(config, ledger, FP)
    assert again.earlier == 4  # text; faces are asked for again, in case the model came
    assert again.status == tally.status
    assert before == [p.name for p in ledger.folder.rglob("scores/text*/*")]


def test_readers_and_workers_change_nothing(ledger, local_ray):
    """Rows that tell how many decoders and networks made them."""
    contents_of = []
    for number, extra in enumerate(({"workers": 2}, {"workers": 1, "readers": 2})):
        config = JudgeConfig(judges=("text",), side=64, **extra)
        other = Ledger(ledger.folder.parent / str(number))
        other.append("clips", ledger.rows("clips"))
        assert judge(config, other, FP).status["ok"] == 4
        contents_of.append(contents(other, config.tables()["text"]))
    assert contents_of[0] == contents_of[1]


def test_a_gpu_that_is_not_there_is_said(ledger, local_ray):
    """Actors that wait for ever for a GPU, or judge on the CPU though the recipe says otherwise."""
    config = JudgeConfig(judges=("text",), side=64, device="cuda")
    with pytest.raises(ValueError, match=r"judge\.device is cuda and there is no GPU here"):
        judge(config, ledger, FP)
    assert config.tables() == JudgeConfig(judges=("text",), side=64).tables()
    assert (config.ahead, JudgeConfig().ahead, JudgeConfig(readers=2).ahead) == (4, 0, 2)
    assert ledger.rows(config.tables()["text"]) == []


@pytest.mark.slow
def test_a_film_that_went_fails_its_clips_and_is_tried_again(ledger, local_ray):
    """A missing film that takes the other film's clips with it, or is given up for ever."""
    config = JudgeConfig(judges=("text",), side=64)
    path = Path(ledger.rows("clips")[0]["path"])
    film = path.read_bytes()
    path.unlink()
    first = judge(config, ledger, FP)
    assert (first.status["ok"], first.status["failed"]) == (2, 2)
    assert first.reasons == {"unreadable": 2}
    path.write_bytes(film)
    second = judge(config, ledger, FP)
    assert (second.status["ok"], second.earlier) == (4, 2)
    assert {row["status"] for row in rows(ledger, config, "text").values()} == {"ok"}


@pytest.mark.slow
def test_a_run_that_dies_loses_only_what_was_in_flight(ledger, local_ray, monkeypatch):
    """Judgements made twice after a stop, or a table that tells of it."""
    config = JudgeConfig(judges=("text",), side=64)
    undisturbed = Ledger(ledger.folder.parent / "other")
    undisturbed.append("clips", ledger.rows("clips"))
    judge(config, undisturbed, FP)

    def dies(*given, commit=judging.commit):
        commit(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(batches, "COMMIT_S", 0.0)
    monkeypatch.setattr(judging, "CLIPS_A_TASK", 1)
    with monkeypatch.context() as patch:
        patch.setattr(judging, "commit", dies)
        with pytest.raises(KeyboardInterrupt):
            judge(config, ledger, FP)
    table = config.tables()["text"]
    kept = len(ledger.rows(table))
    again = judge(config, ledger, FP)
    assert 0 < kept < 4
    assert (again.earlier, again.status["ok"]) == (kept, 4)
    assert contents(ledger, table) == contents(undisturbed, table)


def contents(ledger, table):
    return {p.name: p.read_bytes() for p in (ledger.folder / table).iterdir()}


def test_a_changed_model_lacks_only_its_own_column(tmp_path):
    """Another aesthetic model, and text and faces of a million clips read anew."""
    ledger, clips = Ledger(tmp_path), [{"clip_id": "a"}, {"clip_id": "b"}]
    config = JudgeConfig(judges=("text", "faces", "looks"))
    for table in config.tables().values():
        ledger.append(table, [clip | {"status": "ok"} for clip in clips])
    assert lacking(ledger, config.tables(), clips)[0] == {}
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"others")
    other = config.model_copy(update={"clip": ClipModel(name="ViT-B-32", weights=str(weights))})
    missing, done = lacking(ledger, other.tables(), clips)
    assert missing == {"a": {"looks": None}, "b": {"looks": None}}
    assert len(done) == 4


def test_another_crop_is_another_picture(tmp_path):
    """Judgements of a picture with bars that stand for the one without, sounds heard anew for a
    crop, or a failed clip that every rerun tries again."""
    ledger = Ledger(tmp_path)
    config = JudgeConfig(judges=("text", "events"))
    tables = config.tables()
    clip = {"clip_id": "a", "path": "f", "start_s": 0.0, "end_s": 1.0, "has_audio": True,
            "fingerprint": FP}  # fmt: skip
    ledger.append("clips", [clip])
    for table in tables.values():
        ledger.append(table, [{"clip_id": "a", "status": "ok"}])
    assert lacking(ledger, tables, cropped(ledger, FP))[0] == {}
    ledger.append(f"scores/scan@{FP}", [{"clip_id": "a", "bar_top": 0.125, "bar_bottom": 0.1}])
    clips = cropped(ledger, FP)
    missing, done = lacking(ledger, tables, clips)
    assert set(missing["a"]) == {"text"}
    assert len(done) == 1
    assert lacking(ledger, tables, clips, replay=("unreadable",))[0] == {}
    (task,) = tasks(clips, missing)
    assert task["clips"][0]["crop"] == [0.125, 0.1, 0.0, 0.0]
    failed = ("text", {"clip_id": "a", "status": "failed", "reason": "not_finite"})
    ((_, row),) = counted_task([failed], missing, {"a": clips[0]})
    assert row["crop"] == "0.125 0.1 0 0"
    ledger.append(tables["text"], [row])
    assert lacking(ledger, tables, clips)[0] == {}


def test_decoders_ahead_get_films_together():
    """Clips lost or done twice, a film torn apart, or readers that idle from film to film."""
    work = [{"clips": [f"{f}{i}" for i in range(n)]} for f, n in (("a", 3), ("b", 2), ("c", 9))]
    films = [task["clips"] for task in work]
    assert together(work, 0) == [[film] for film in films]
    assert together(work, 5) == [films[:2], films[2:]]
    assert together(work, 99) == [films]
    assert together([], 5) == []


def test_tasks_hold_all_that_is_missing_once():
    """Clips lost between tasks, or a long film that one core has to do alone."""
    clips = [
        {
            "clip_id": f"{f}-{i}",
            "path": f,
            "start_s": -float(i),
            "end_s": 0.0,
            "has_audio": True,
            "crop": None,
        }
        for f in "ba"
        for i in range(CLIPS_A_TASK + 3)
    ]
    missing = {clip["clip_id"]: ["text"] for clip in clips}
    missing["a-1"] = []
    work = tasks(clips, missing)
    found = [clip["clip_id"] for task in work for clip in task["clips"]]
    assert sorted(found) == sorted(set(missing) - {"a-1"})
    assert len(work) == 4
    assert all({c["path"] for c in t["clips"]} == {t["path"]} for t in work)
    assert all(
        [c["start_s"] for c in t["clips"]] == sorted(c["start_s"] for c in t["clips"]) for t in work
    )
    json.dumps(work)  # what travels through Ray
