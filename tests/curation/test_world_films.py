import json

import av
import numpy as np
import pytest

from curation.world import films
from curation.world.config import Defects, WorldConfig
from curation.world.defects import draw_defect
from curation.world.film import make_clean_film, make_film
from curation.world.films import film_path, write_film, write_films

KINDS = tuple(Defects.model_fields)
SMALL = WorldConfig(height=48, width=48, seed=3)


def with_defect(kind, **more):
    return SMALL.model_copy(update={"defects": Defects(**{kind: 0.5}), **more})


def first_with(config, kind):
    """The first film that carries the defect."""
    return next(i for i in range(50) if draw_defect(config, i).get("kind") == kind)


def pair(kind):
    """A film with the defect, the same film without, and the defect's facts."""
    config = with_defect(kind)
    index = first_with(config, kind)
    film = make_film(config, index)
    (defect,) = film.truth["defects"]
    return film, make_clean_film(config, defect.get("of", index)), defect


def see(path):
    frames = []
    try:
        with av.open(str(path)) as box:
            frames.extend(f.to_ndarray(format="rgb24") for f in box.decode(video=0))
    except av.FFmpegError:
        pass
    return frames


def snapshot(folder):
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(folder.iterdir())}


def test_silence_is_digital_silence():
    """Catches a silent film that still sounds."""
    film, clean, _ = pair("silence")
    assert not film.samples.any()
    assert clean.samples.any()
    assert np.array_equal(film.pixels, clean.pixels)


def test_shift_moves_the_sound_by_the_stated_time():
    """Catches a wrong sign or unit: filters are held to this number."""
    for index in range(30):
        film = make_film(with_defect("shift"), index)
        if not film.truth["defects"]:
            continue
        ms = film.truth["defects"][0]["ms"]
        assert 120 <= abs(ms) <= 400
        first = film.truth["events"][0]
        onset = int(np.flatnonzero(film.samples[0])[0])
        assert onset == first["sample"] + round(ms * film.rate / 1000)


def test_freeze_stands_still_where_stated_and_only_there():
    """Catches a freeze of another length than the truth says."""
    film, clean, defect = pair("freeze")
    first, last = round(defect["start"] * film.fps), round(defect["end"] * film.fps)
    assert (last - first) / len(film.pixels) == pytest.approx(0.6, abs=0.05)
    assert (film.pixels[first:last] == film.pixels[first]).all()
    outside = [i for i in range(len(film.pixels)) if not first <= i < last]
    assert np.array_equal(film.pixels[outside], clean.pixels[outside])
    assert np.array_equal(film.samples, clean.samples)


def test_letterbox_has_black_bars_of_the_stated_height():
    """Catches bars that hide the picture instead of framing it."""
    film, clean, defect = pair("letterbox")
    bar = defect["top"]
    assert not film.pixels[:, :bar].any()
    assert not film.pixels[:, -bar:].any()
    inside = film.pixels[:, bar:-bar]
    assert inside.min(axis=(0, 2, 3)).min() > 0
    assert inside[:, 0].mean() == pytest.approx(clean.pixels[:, 0].mean(), abs=2)


def test_overlay_writes_in_the_upper_part():
    """Catches text that is not there, or covers the floor where impacts are seen."""
    film, clean, _ = pair("overlay")
    changed = (film.pixels != clean.pixels).any(axis=(0, 2, 3))
    assert changed[: len(changed) // 3].any()
    assert not changed[len(changed) // 2 :].any()


def test_duplicates_are_the_same_bytes(tmp_path):
    """Catches duplicates that only look alike: the scan names films by their bytes."""
    config = with_defect("duplicate")
    index = first_with(config, "duplicate")
    source = draw_defect(config, index)["of"]
    for number in (source, index):
        write_film(config, tmp_path, number)
    assert film_path(tmp_path, index).read_bytes() == film_path(tmp_path, source).read_bytes()
    assert json.loads((tmp_path / f"film-{index:05d}.truth.json").read_text())["index"] == index


def test_reencodes_look_alike_and_are_worse(tmp_path):
    """Catches a near-duplicate that is exact, or shows another film."""
    config = with_defect("reencode")
    index = first_with(config, "reencode")
    source = draw_defect(config, index)["of"]
    for number in (source, index):
        write_film(config, tmp_path, number)
    good, bad = (np.stack(see(film_path(tmp_path, n))) for n in (source, index))
    clean = make_clean_film(config, source).pixels.astype(int)
    assert np.abs(bad - clean).mean() < 8
    assert ((bad - clean) ** 2).mean() > 1.5 * ((good - clean) ** 2).mean()
    assert film_path(tmp_path, index).stat().st_size < film_path(tmp_path, source).stat().st_size


def test_truncated_files_promise_more_than_they_hold(tmp_path):
    """Catches a truncation that a container's index hides or that leaves the film whole."""
    config = with_defect("truncate")
    index = first_with(config, "truncate")
    write_film(config, tmp_path, index)
    path = film_path(tmp_path, index)
    with av.open(str(path)) as box:
        assert box.streams.video[0].frames == 17
    assert 0 < len(see(path)) < 17


def test_shares_of_defects_are_kept():
    """Catches a draw that favours one kind."""
    config = SMALL.model_copy(update={"defects": Defects(**dict.fromkeys(KINDS, 0.03))})
    drawn = [draw_defect(config, i).get("kind") for i in range(600)]
    for kind in KINDS:
        assert 6 <= drawn.count(kind) <= 35
    assert 80 <= drawn.count(None) <= 180
    assert all(not draw_defect(SMALL, i) for i in range(20))


def test_a_rerun_writes_only_what_is_missing(tmp_path):
    """Catches a resume that trusts half films or makes whole ones again."""
    config = SMALL.model_copy(update={"films": 5})
    paths = write_films(config, tmp_path)
    before = snapshot(tmp_path)
    assert len(before) == 15
    paths[0].unlink()  # lost
    paths[1].write_bytes(b"half")  # damaged
    (tmp_path / "film-00002.truth.json").unlink()  # killed before the marker
    (tmp_path / ".tmp-left.mp4").write_bytes(b"litter")
    assert write_films(config, tmp_path) == paths
    after = snapshot(tmp_path)
    assert {k: v[1] for k, v in after.items()} == {k: v[1] for k, v in before.items()}
    for number in (3, 4):
        assert after[paths[number].name] == before[paths[number].name]


def test_more_films_keep_the_old_and_other_settings_do_not(tmp_path):
    """Catches a fingerprint that is too wide (all films again) or too narrow (stale films)."""
    write_films(SMALL.model_copy(update={"films": 2}), tmp_path)
    before = snapshot(tmp_path)
    write_films(SMALL.model_copy(update={"films": 3}), tmp_path)
    assert {k: v for k, v in snapshot(tmp_path).items() if k in before} == before
    write_films(SMALL.model_copy(update={"films": 2, "crf": 30}), tmp_path)
    changed = snapshot(tmp_path)
    assert changed["film-00000.mp4"][1] != before["film-00000.mp4"][1]


def test_processes_write_the_same_bytes(tmp_path, monkeypatch):
    """Catches results that depend on who made them."""
    config = SMALL.model_copy(update={"films": 4})
    write_films(config, tmp_path / "one")
    monkeypatch.setattr(films, "WORTH_S", -1.0)
    write_films(config, tmp_path / "two", workers=2)
    one, two = snapshot(tmp_path / "one"), snapshot(tmp_path / "two")
    assert {k: v[1] for k, v in one.items()} == {k: v[1] for k, v in two.items()}
