"""The whole scan over generated films with planted defects, on a local Ray."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from curation.media_write import transcode
from curation.world.config import Defects, WorldConfig
from curation.world.films import film_path, write_film
from pipelines import batches, measure
from pipelines.budget import BudgetError
from pipelines.ledger import Ledger
from pipelines.scan import scan
from pipelines.scan_config import ScanConfig, WindowConfig, split_of
from pipelines.tally import Tally
from tests.long_film import write_long_film

PLANTED = ("silence", "shift", "freeze", "letterbox", "truncate")
LOOK = {"fps": 16, "height": 64, "width": 96, "seconds": (3, 3), "motions": ("fall", "throw")}
WINDOW = WindowConfig(fps=16, min_s=2, max_s=3)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two clean films, one of each defect, a copy, a bad re-encode, and two that are no films."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(2):
        write_film(WorldConfig(seed=2, backgrounds=("texture",), **LOOK), folder, number)
    for number, kind in enumerate(PLANTED, 2):
        defects = Defects(**{kind: 1.0})
        world = WorldConfig(seed=2, defects=defects, shift_ms=(300, 300), **LOOK)
        write_film(world, folder, number)
    shutil.copy(film_path(folder, 0), folder / "zz copy.mp4")
    transcode(film_path(folder, 1), folder / "zz worse.mp4", crf=30, audio_bitrate=24_000)
    (folder / "text.mp4").write_text("not a film")
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture(scope="module")
def scanned(films, local_ray, tmp_path_factory):
    ledger = Ledger(tmp_path_factory.mktemp("scan") / "ledger")
    config = ScanConfig(sources=[str(films)], window=WINDOW)
    return config, ledger, scan(config, ledger)


def clips_of(ledger, config):
    scores = {r["clip_id"]: r for r in ledger.rows(f"scores/scan@{config.fingerprint()}")}
    return {
        c["path"]: c | scores[c["clip_id"]] for c in ledger.clips(config.fingerprint()).to_pylist()
    }


def defect(path):
    truth = Path(path).with_suffix(".truth.json")
    planted = json.loads(truth.read_text())["defects"] if truth.exists() else []
    return planted[0] if planted else {"kind": "clean"}


def test_every_film_has_one_row_with_its_reason(films, scanned):
    """A film that vanishes between the folder and the ledger."""
    _, ledger, tally = scanned
    rows = {r["path"].removeprefix(f"{films}/"): r for r in ledger.rows("sources")}
    found = sorted(str(p.relative_to(films)) for p in films.rglob("*.mp4"))
    assert sorted(rows) == found
    assert tally.total == sum(tally.status.values()) == len(found)
    assert rows["text.mp4"]["reason"] == "format_not_allowed"
    assert rows["empty.mp4"]["reason"] == "empty"
    assert all(len(r["detail"] or "") <= 500 for r in rows.values())
    assert {r["status"] for r in rows.values() if r["reason"] is None} == {"ok"}


def test_planted_defects_show_in_their_scores(films, scanned):
    """A score that is blind to what it is named after."""
    config, ledger, _ = scanned
    by_kind = {}
    for path, row in clips_of(ledger, config).items():
        by_kind.setdefault(defect(path)["kind"], []).append(row)
    clean = by_kind["clean"]
    assert all(r["has_sound"] == 1 and r["bars"] == 0 for r in clean)
    assert by_kind["silence"][0]["has_sound"] == 0
    assert by_kind["letterbox"][0]["bars"] == pytest.approx(0.28, abs=0.05)
    assert by_kind["freeze"][0]["frozen_share"] > 0.5
    assert by_kind["freeze"][0]["freeze_s"] > 1.5
    shifted = by_kind["shift"][0]
    if (shifted["sync_confidence"] or 0) >= 2.5:
        truth = defect(shifted["path"])["ms"]
        assert shifted["sync_offset_ms"] == pytest.approx(truth, abs=2 * shifted["sync_floor_ms"])


def test_repeats_are_marked(films, scanned):
    """A copy or a re-encode that is trained on twice, or a film that is taken for another."""
    config, ledger, _ = scanned
    copies = {r["path"]: r for r in ledger.rows("sources") if r["reason"] == "duplicate"}
    assert set(copies) == {str(films / "zz copy.mp4")}
    assert str(film_path(films, 0)) in copies[str(films / "zz copy.mp4")]["detail"]
    clips = clips_of(ledger, config)
    marked = {path: row["duplicate_of"] for path, row in clips.items() if row["duplicate_of"]}
    pair = {str(film_path(films, 1)), str(films / "zz worse.mp4")}
    assert len(marked) == 1
    assert set(marked) < pair
    assert {clips[p]["clip_id"] for p in pair - set(marked)} == set(marked.values())


def test_clips_are_whole_latents_on_one_clock(scanned):
    """Clips that no latent grid fits, or rows that disagree with their ids."""
    config, ledger, _ = scanned
    for clip in ledger.clips(config.fingerprint()).to_pylist():
        assert (clip["frames"] - 1) % 4 == 0
        assert clip["end_s"] - clip["start_s"] == pytest.approx(clip["frames"] / 16)
        source_id, start, end = clip["clip_id"].split("-")
        assert source_id == clip["source_id"]
        assert (int(start), int(end)) == (
            round(clip["start_s"] * 1000),
            round(clip["end_s"] * 1000),
        )
        assert abs(clip["drift_ms"]) < 80
        assert clip["split"] == split_of(source_id, config.val_share)


def test_a_second_run_does_nothing(scanned, monkeypatch):
    """A rerun that decodes, or writes, or counts otherwise."""
    config, ledger, first = scanned
    before = {p: p.stat().st_mtime_ns for p in ledger.folder.rglob("*.parquet")}
    monkeypatch.setattr("pipelines.measure.measure_all", lambda *_: pytest.fail("it decoded again"))
    again = scan(config, ledger)
    assert again.status == first.status
    assert again.earlier == again.total
    assert before == {p: p.stat().st_mtime_ns for p in ledger.folder.rglob("*.parquet")}


@pytest.mark.slow
def test_parallelism_leaves_no_trace(scanned, tmp_path):
    """Tables that depend on which worker was first."""
    config, ledger, _ = scanned
    other = Ledger(tmp_path / "ledger")
    scan(config.model_copy(update={"workers": 1}), other)
    assert contents(other) == contents(ledger)


def rows_of(ledger):
    return {Path(row["path"]).name: row for row in ledger.rows("sources")}


@pytest.mark.slow
def test_only_what_is_new_or_replayed_is_decoded(films, scanned, tmp_path, monkeypatch):
    """A top-up that decodes the whole folder, or a replay that takes up more than was asked for."""
    config, ledger, first = scanned
    copy = Ledger(tmp_path / "ledger")
    shutil.copytree(ledger.folder, copy.folder)
    more = tmp_path / "more"
    write_film(WorldConfig(seed=5, **LOOK), more, 0)
    config = config.model_copy(update={"sources": [str(films), str(more)]})
    decoded = []

    def counting(config, rows, *given, measure_all=measure.measure_all):
        decoded.extend(row["path"] for row in rows)
        return measure_all(config, rows, *given)

    monkeypatch.setattr(measure, "measure_all", counting)
    again = scan(config, copy, replay=["format_not_allowed"])
    assert decoded == [str(films / "text.mp4")]
    assert (again.total, again.status["failed"]) == (1, 1)
    before, after = rows_of(ledger), rows_of(copy)
    assert (before.pop("text.mp4")["attempts"], after.pop("text.mp4")["attempts"]) == (1, 2)
    assert after == before
    decoded.clear()
    topped_up = scan(config, copy)
    assert decoded == [str(film_path(more, 0))]
    assert (topped_up.earlier, topped_up.total) == (first.total, first.total + 1)


class Broken(measure.Measurer):
    """A worker whose disk is full."""

    def _part(self, source, path, speech, part):
        time.sleep(0.05)  # so that the driver can be early
        raise OSError("no space left on device")


@pytest.mark.slow
def test_a_broken_system_stops_the_scan(tmp_path, local_ray, monkeypatch):
    """A scan that fails on film after film for hours, keeps nothing, or cannot go on afterwards."""
    for number in range(40):
        (tmp_path / f"{number:02d}.mp4").write_bytes(f"film {number}".encode())
    config = ScanConfig(sources=[str(tmp_path)], window=WINDOW)
    ledger = Ledger(tmp_path / "ledger")
    monkeypatch.setattr(batches, "COMMIT_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(measure, "Measurer", Broken)
        with pytest.raises(BudgetError, match=r"20 of 20 films failed as internal.*no space"):
            scan(config, ledger)
    kept = ledger.rows("sources")
    assert 20 <= len(kept) < 40
    assert {row["attempts"] for row in kept} == {1}
    tally = scan(config, ledger)
    assert tally.reasons == {"format_not_allowed": 40}
    tried = sorted(row["attempts"] for row in ledger.rows("sources"))
    assert tried == [1] * (40 - len(kept)) + [2] * len(kept)


@pytest.mark.slow
def test_a_long_film_is_the_same_on_any_number_of_workers(tmp_path, local_ray):
    """Parts that are joined as they arrive, that depend on who measured them, or that change a
    film which is measured in one piece."""
    (tmp_path / "films").mkdir()
    write_long_film(tmp_path / "films/0.mp4")
    found = []
    for workers, part_mb in ((1, 0.01), (2, 0.01), (1, 24)):
        config = ScanConfig(
            sources=[str(tmp_path / "films")], window=WINDOW, workers=workers, part_mb=part_mb
        )
        ledger = Ledger(tmp_path / f"{len(found)}")
        assert scan(config, ledger).total == 1
        clips = ledger.clips(config.fingerprint()).drop_columns("fingerprint").to_pylist()
        found.append((clips, ledger.rows(f"scores/scan@{config.fingerprint()}")))
    assert len(found[0][0]) > 40
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
def test_a_part_that_fails_refuses_its_film_once(tmp_path, local_ray, monkeypatch):
    """A film of which only the good parts are kept, or that is counted once a part."""
    (tmp_path / "films").mkdir()
    write_long_film(tmp_path / "films/0.mp4")

    class Half(measure.Measurer):
        def _part(self, source, path, speech, part):
            if part.number == 1:
                raise OSError("a bad sector")
            return super()._part(source, path, speech, part)

    monkeypatch.setattr(measure, "Measurer", Half)
    config = ScanConfig(sources=[str(tmp_path / "films")], window=WINDOW, part_mb=0.01)
    ledger = Ledger(tmp_path / "ledger")
    tally = scan(config, ledger)
    assert tally.reasons == {"internal": 1}
    (row,) = ledger.rows("sources")
    assert (row["clips"], "a bad sector" in row["detail"]) == (0, True)
    assert ledger.clips(config.fingerprint()).num_rows == 0


def contents(ledger):
    return {
        p.relative_to(ledger.folder): p.read_bytes()
        for p in sorted(ledger.folder.rglob("*.parquet"))
    }


def test_an_empty_folder_is_an_honest_nothing(tmp_path, capsys):
    """A trace, or a success that hides that there was nothing."""
    tally = scan(ScanConfig(sources=[str(tmp_path)]), Ledger(tmp_path / "ledger"))
    assert tally.total == 0
    assert "0 films = 0 ok + 0 filtered + 0 failed + 0 skipped" in capsys.readouterr().err


def test_the_split_is_the_films_own():
    """A film that changes sides when others are added, or shares that do not hold."""
    ids = [f"{i:016x}" for i in np.random.default_rng(0).integers(0, 2**64, 2000, dtype=np.uint64)]
    share = np.mean([split_of(i, 0.25) == "val" for i in ids])
    assert share == pytest.approx(0.25, abs=0.04)
    assert all(split_of(i, 0.0) == "train" for i in ids)


def test_a_tally_that_does_not_add_up_is_an_error():
    """A summary that loses an input."""
    tally = Tally("x", "films", 2)
    tally.add("ok")
    with pytest.raises(AssertionError):
        tally.line()
