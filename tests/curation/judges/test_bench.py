"""All judges over a film: what is shown to them, and what one that fails costs."""

import threading
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from curation.film import measure_film
from curation.film_config import FilmConfig
from curation.judges import bench
from curation.judges import seen as seeing
from curation.judges.bench import Bench
from curation.judges.columns import COLUMNS
from curation.judges.config import JudgeConfig
from curation.judges.seen import look
from curation.media import MediaReader
from curation.media_write import write_clip
from curation.records import Reason, RejectedError
from curation.scores import crop_of
from curation.world.config import Defects, WorldConfig
from curation.world.films import film_path, make_film, write_film


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


@pytest.fixture(scope="module")
def barred(tmp_path_factory, reader):
    """(film with bars, the same with these cut off by hand, crop that the scan finds)."""
    folder = tmp_path_factory.mktemp("barred")
    world = WorldConfig(height=128, width=192, seconds=(2.5, 2.5), backgrounds=("stripes",), seed=4,
                        defects=Defects(letterbox=1.0))  # fmt: skip
    film = make_film(world, 0)
    (planted,) = film.truth["defects"]
    inside = film.pixels[:, planted["top"] : 128 - planted["bottom"]]
    paths = []
    for name, pixels in (("barred", film.pixels), ("by_hand", inside)):
        paths.append(folder / f"{name}.mp4")
        write_clip(paths[-1], pixels, film.fps, film.samples, film.rate, crf=4)
    spans = lambda *_: [(0.0, 17)]  # noqa: E731
    found = measure_film(
        reader, str(paths[0]), "s", FilmConfig(shots="stride"), spans, 8, None
    ).scores
    return *map(str, paths), list(crop_of(found[0]))


def test_a_judge_sees_a_letterboxed_clip_without_its_bars(barred, reader):
    """Black rows that judges take for picture: a quality, an embedding and shares of an area that
    training never sees; or another part of the picture than the film without bars would show."""
    film, by_hand, crop = barred
    asked = clip(0.0, 2.0)
    config = JudgeConfig(side=64)
    ((_, whole),) = look(reader, film, [asked], config)
    ((_, seen),) = look(reader, film, [asked | {"crop": crop}], config)
    ((_, wanted),) = look(reader, by_hand, [asked], config)
    for cut, full, true in (
        (seen.pixels, whole.pixels, wanted.pixels),
        (seen.all_frames().pixels, whole.all_frames().pixels, wanted.all_frames().pixels),
    ):
        edges = [frames[:, [0, -1]].max(axis=(2, 3)).min() for frames in (cut, full)]
        assert edges[0] > 60
        assert edges[1] < 30
        assert min(cut.shape[1:3]) == 64
        height, width = (min(sizes) for sizes in zip(cut.shape[1:3], true.shape[1:3], strict=True))
        error = cut[:, :height, :width].astype(float) - true[:, :height, :width]
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 22


def test_neighbours_of_other_crops_do_not_share_a_picture(barred, reader):
    """A clip that is shown cut as its neighbour is, or a crop that leaves nothing and takes the
    other clips of the film along."""
    film, _, crop = barred
    crops = [crop, None, [0.49, 0.49, 0.0, 0.0]]
    clips = [clip(0.5 * i, 0.5 * i + 0.5) | {"crop": c} for i, c in enumerate(crops)]
    shapes = [seen.pixels.shape[1:3] for _, seen in look(reader, film, clips, JudgeConfig(side=64))]
    assert shapes[1] == shapes[2] == (64, 96)
    assert shapes[0][0] == 64
    assert shapes[0][1] > 110


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
    asked = clip(0.0, 1.0, names) | {"path": film}
    rows = dict(Bench(JudgeConfig(judges=names), [reader]).judge_films([[asked]]))
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
    clips = [clip(t, t + 1.0, names) | {"path": film} for t in (0.0, 500.0)]
    rows = Bench(JudgeConfig(judges=("text",)), [reader]).judge_films([clips])
    assert len(rows) == 2
    assert rows[1][1]["status"] == "failed"


class Told:
    """What a bench began and ended, in order."""

    def __init__(self):
        self.lines = []

    @contextmanager
    def __call__(self, name):
        self.lines.append(f"begin {name}")
        try:
            yield
        finally:
            self.lines.append(f"end {name}")


@pytest.fixture
def digests(monkeypatch):
    """Judges that tell what they were shown: frames, sound, and every frame of the clip."""
    shown = {
        "safety": lambda evidence: {"nsfw": float(evidence.seen.pixels.astype(float).mean())},
        "voice": lambda evidence: {"dnsmos_sig": float(np.abs(evidence.seen.sound).mean())},
        "lips": lambda evidence: {
            "lip_offset_ms": float(evidence.seen.all_frames().pixels.astype(float).mean())
        },
    }
    for name, judge in shown.items():
        monkeypatch.setitem(bench.JUDGE, name, judge)
    monkeypatch.setattr(seeing, "GROUP_S", 1.5)  # a film's clips take several requests
    return tuple(shown)


def clips_of(folder, names):
    """Three films of four clips; the second is not there, the third ends early."""
    films = []
    for number in range(3):
        world = WorldConfig(seed=number, fps=8, height=64, width=96, seconds=(4, 4), shots=(1, 1))
        write_film(world, folder, number)
        path = str(film_path(folder, number)) if number != 1 else str(folder / "gone.mp4")
        starts = (0.0, 1.0, 2.0, 500.0 if number == 2 else 3.0)
        films.append(
            [clip(t, t + 1.0, names) | {"clip_id": f"{number}-{t:g}", "path": path} for t in starts]
        )
    return films


def test_decoders_ahead_change_nothing(digests, tmp_path):
    """Clips shown another's pictures or sound, a lost film that takes others along or keeps its
    later clips, and decoders that wait for the networks where they should not."""
    films = clips_of(tmp_path, digests)
    config = JudgeConfig(judges=digests, side=64)
    with ExitStack() as closing:
        readers = [closing.enter_context(MediaReader()) for _ in range(4)]
        told = Told()
        alone = Bench(config, readers[:1], told).judge_films(films)
        assert [line for line in told.lines if "reading" in line][2:4] == [
            "begin 0-0 reading", "end 0-0 reading",
        ]  # fmt: skip
        assert all(a[6:] == b[4:] for a, b in zip(told.lines[::2], told.lines[1::2], strict=True))

        begun = threading.Event()
        judge = bench.JUDGE["safety"]

        class Ahead(Told):
            @contextmanager
            def __call__(self, name):
                if name == "2-0 reading":
                    begun.set()
                with super().__call__(name):
                    yield

        def waits(evidence):
            assert begun.wait(30), "nothing was read ahead of the first clip's judgement"
            return judge(evidence)

        bench.JUDGE["safety"] = waits
        many = Bench(config, readers, Ahead())
        assert many.judge_films(films) == alone
        bench.JUDGE["safety"] = judge
        careful = Told()
        many._begun = careful  # the networks stay loaded
        assert many.judge_films(films, ahead=False) == alone
        assert careful.lines == told.lines
    rows = {(row["clip_id"], name): row for name, row in alone}
    assert len(rows) == len(alone) == 3 * 4 * 3
    failed = {clip for (clip, _), row in rows.items() if row["status"] == "failed"}
    assert failed == {"1-0", "1-1", "1-2", "1-3", "2-500"}
    means = {rows[f"{n}-{t}", "safety"]["nsfw"] for n in (0, 2) for t in range(3)}
    assert len(means) == 6, "films that look alike would prove nothing"
