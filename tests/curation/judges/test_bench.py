"""All judges over a film: what is shown to them, and what one that fails costs."""

import numpy as np
import pytest

from curation.judges import bench
from curation.judges.bench import Bench
from curation.judges.columns import COLUMNS
from curation.judges.config import JudgeConfig
from curation.judges.seen import look
from curation.media import MediaReader
from curation.records import Reason, RejectedError
from curation.world.config import WorldConfig
from curation.world.films import film_path, write_film


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    world = WorldConfig(seed=1, fps=8, height=64, width=96, seconds=(4, 4), shots=(1, 1))
    write_film(world, folder, 0)
    return str(film_path(folder, 0))


@pytest.fixture(scope="module")
def reader():
    with MediaReader() as reader:
        yield reader


def clip(start, end, judges=("text",)):
    return {"clip_id": f"{start}", "start_s": start, "end_s": end, "has_audio": True,
            "judges": list(judges)}  # fmt: skip


def test_a_clip_sees_its_own_frames_and_sound(film, reader):
    """Neighbours that share a request and get each other's pictures."""
    clips = [clip(0.0, 1.0), clip(1.25, 2.25), clip(2.5, 4.0)]
    config = JudgeConfig(rate=4.0)
    together = {c["clip_id"]: seen for c, seen in look(reader, film, clips, config)}
    for one in clips:
        ((_, alone),) = look(reader, film, [one], config)
        seen = together[one["clip_id"]]
        assert len(seen.pixels) == round(4 * (one["end_s"] - one["start_s"]))
        assert np.array_equal(seen.pixels, alone.pixels)
        assert np.allclose(seen.sound, alone.sound, atol=1e-6)
        assert seen.sound.size == round(16_000 * (one["end_s"] - one["start_s"]))
        every = seen.all_frames()
        assert one["start_s"] - 1e-6 <= every.times[0]
        assert every.times[-1] < one["end_s"]


def test_who_only_listens_costs_no_decoding(film, reader):
    """Pictures decoded for a judge of sound."""
    ((_, seen),) = look(reader, film, [clip(0.0, 1.0, ("events", "voice"))], JudgeConfig())
    assert seen.pixels.shape[0] == 0
    assert seen.sound.size == 16_000


def test_a_judge_that_fails_loses_its_own_row_only(film, reader, monkeypatch):
    """A bug in one judge that takes the clip, or leaves a row without its columns."""

    def broken(evidence):
        raise ZeroDivisionError("a bug\nof ours")

    def refuses(evidence):
        raise RejectedError(Reason.NOT_FINITE, "NaN")

    monkeypatch.setitem(bench.JUDGE, "faces", broken)
    monkeypatch.setitem(bench.JUDGE, "safety", refuses)
    monkeypatch.setitem(bench.JUDGE, "looks", lambda evidence: {"brisque": float("nan")})
    names = ("faces", "safety", "looks")
    rows = dict(Bench(JudgeConfig(judges=names), reader).judge_film(film, [clip(0.0, 1.0, names)]))
    assert (rows["faces"]["status"], rows["faces"]["reason"]) == ("failed", "internal")
    assert "ZeroDivisionError: a bug of ours" in rows["faces"]["detail"]
    assert rows["safety"]["reason"] == "not_finite"
    assert rows["looks"]["status"] == "ok"
    assert rows["looks"]["brisque"] is None
    for name, row in rows.items():
        assert set(row) == {"clip_id", "status", "reason", "detail", *COLUMNS[name]}


def test_a_film_that_ends_early_fails_the_rest(film, reader):
    """Clips beyond the end of a film that changed since its scan, answered from nothing."""
    names = ["text"]
    clips = [clip(0.0, 1.0, names), clip(500.0, 501.0, names)]
    rows = Bench(JudgeConfig(judges=("text",)), reader).judge_film(film, clips)
    assert len(rows) == 2
    assert rows[1][1]["status"] == "failed"
