"""The encode pass on real films: same bytes whatever happens, nothing lost, one clock."""

import json
import shutil
import threading

import numpy as np
import pytest
import safetensors.torch
import torch

from curation.film import measure_film
from curation.film_config import FilmConfig
from curation.media import MediaReader
from curation.media_write import write_clip
from curation.rendition import picture, sound
from curation.world.config import Defects, WorldConfig
from curation.world.film import make_film
from model.geometry import Geometry
from model.vae import load_video_vae
from pipelines.attempts import Attempts
from pipelines.contract import find_set, read_constants, read_contract, read_index
from pipelines.encode import encode
from pipelines.encode_clip import ClipEncoder
from pipelines.encode_config import EncodeConfig, Rendition
from pipelines.encode_media import ClipReader
from pipelines.encode_plan import Task
from pipelines.ledger import Ledger
from pipelines.storage import DataRoot
from pipelines.stream import Reader, Stream
from pipelines.verify import verify
from tests.encode_films import (
    FPS,
    INPUTS,
    RATE,
    contents,
    fill_ledger,
    write_film,
    write_films,
    write_vaes,
)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_vaes(tmp_path_factory.mktemp("vaes"))


@pytest.fixture
def root(tmp_path, films):
    root = DataRoot(tmp_path / "data")
    fill_ledger(root, films)
    return root


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, films, config):
    """One finished pass with one worker."""
    root = DataRoot(tmp_path_factory.mktemp("encoded") / "data")
    fill_ledger(root, films)
    tally = encode(root, config, INPUTS)
    assert (tally.total, tally.status["ok"], tally.status["failed"]) == (8, 8, 0)
    return root


@pytest.mark.slow
def test_two_workers_make_the_same_bytes(encoded, root, config, local_ray):
    """Catches parallelism that shows: every file of the set must be equal, the contract too."""
    encode(root, config.model_copy(update={"workers": 2}), INPUTS)
    assert find_set(root).name == find_set(encoded).name
    assert contents(find_set(root)) == contents(find_set(encoded))


def test_set_is_whole_and_streams(encoded):
    """Catches a set that its own verifier or the stream refuses."""
    folder = find_set(encoded)
    assert verify(folder) == []
    contract = read_contract(folder)
    counts = {"in": 8, "ok": 8, "failed": 0, "silent": 3, "train": 6, "val": 2}
    assert contract["counts"] == counts
    assert sorted(contract["buckets"]) == ["32x32x17@8", "32x32x9@8"]
    _, samples = next(Stream(folder, seed=0, global_batch=2).batches())
    geometry = samples[0].geometry
    assert isinstance(geometry, Geometry)
    assert tuple(samples[0].video.shape) == geometry.video_shape
    assert set(samples[0].text) == {"short"}, "long has no caption, so it has no tensor"


def test_silent_clips_have_no_sound(encoded):
    """Catches silence encoded as if it were the film's sound."""
    reader = Reader(find_set(encoded))
    silent = 0
    for row in range(8):
        sample = reader.sample(row)
        assert (sample.audio is not None) == sample.info["has_audio"]
        if sample.audio is not None:
            assert tuple(sample.audio.shape) == sample.geometry.audio_shape
        silent += sample.audio is None
    assert silent == 3


def test_a_rerun_does_nothing(encoded, config):
    """Catches a second run that touches shards: names, bytes and times must stay."""
    folder = find_set(encoded)
    before = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}
    tally = encode(encoded, config, INPUTS)
    assert tally.earlier == 8
    assert {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()} == before


def test_only_what_is_missing_is_made(encoded, root, config):
    """Catches a repair that makes other bytes, or makes everything again."""
    shutil.copytree(find_set(encoded), root.shards / find_set(encoded).name)
    folder = root.shards / find_set(encoded).name
    kept, gone = sorted(folder.glob("*.tar"))[:2]
    before = kept.stat()
    gone.unlink()
    (folder / ".tmp-1.tar").write_bytes(b"left by a killed writer")
    (folder / "contract.json").unlink()
    encode(root, config, INPUTS)
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert contents(folder) == contents(find_set(encoded))


def test_every_clip_has_a_row(encoded):
    """Catches clips that end neither in a shard nor with a reason."""
    rows = Ledger(encoded.ledger).rows(f"artefacts/{find_set(encoded).name}")
    assert len(rows) == 8
    assert all(row["status"] == "ok" and row["shard"] for row in rows)


def test_failures_are_rows(root, films, config, tmp_path):
    """Catches a bad clip that takes its shard along, vanishes from the count, or stays failed
    though its film is back."""
    broken = tmp_path / "films"
    shutil.copytree(films, broken)
    root = DataRoot(tmp_path / "other")
    rows = fill_ledger(root, broken)
    (broken / "0.mp4").unlink()
    write_film(broken / "1.mp4", 99)  # other content under a scanned name
    ledger = Ledger(root.ledger)
    ledger.append("scores/caption@caption", [{"clip_id": rows[-1]["clip_id"], "short": " "}])
    short = {**rows[-1], "clip_id": f"{rows[-1]['source_id']}-0-100", "start_s": 0.0, "end_s": 0.1}
    ledger.append("clips", [short])
    ledger.append("verdicts/verdicts", [{"clip_id": short["clip_id"], "status": "ok"}])
    tally = encode(root, config, INPUTS)
    assert (tally.total, tally.status["ok"], tally.status["failed"]) == (9, 2, 7)
    assert tally.reasons == {"unreadable": 5, "bad_caption": 1, "too_short": 1}
    assert read_contract(find_set(root))["counts"]["in"] == 9
    assert verify(find_set(root)) == []
    shutil.copy2(films / "0.mp4", broken / "0.mp4")  # the disk is back
    assert encode(root, config, INPUTS).reasons == {
        "unreadable": 2,
        "bad_caption": 1,
        "too_short": 1,
    }
    assert read_contract(find_set(root))["counts"]["ok"] == 5
    assert verify(find_set(root)) == []


def test_only_failures_are_tried_again(films, config, tmp_path, monkeypatch):
    """A clip that failed and takes its whole shard through the networks again, or a replay of one
    reason that retries another, or loses the number of tries."""
    broken = tmp_path / "films"
    shutil.copytree(films, broken)
    root = DataRoot(tmp_path / "data")
    rows = fill_ledger(root, broken)
    (broken / "0.mp4").unlink()
    mute = rows[-1]["clip_id"]
    Ledger(root.ledger).append("scores/caption@caption", [{"clip_id": mute, "short": " "}])
    config = config.model_copy(update={"shard_clips": 9})
    made = []

    def counting(self, row, shapes, read=ClipReader.read):
        made.append(row["clip_id"])
        return read(self, row, shapes)

    monkeypatch.setattr(ClipReader, "read", counting)
    encode(root, config, INPUTS)
    lost = [row["clip_id"] for row in rows if row["path"].endswith("0.mp4")]
    made.clear()
    again = encode(root, config, INPUTS)
    assert sorted(made) == sorted(lost), "what any rerun tries again, and nothing else"
    assert again.total == 8
    shutil.copy2(films / "0.mp4", broken / "0.mp4")
    made.clear()
    replayed = encode(root, config, INPUTS, replay=["bad_caption"])
    assert made == [mute]
    assert (replayed.total, replayed.reasons) == (1, {"bad_caption": 1})
    table = {r["clip_id"]: r for r in Ledger(root.ledger).rows(f"artefacts/{find_set(root).name}")}
    assert table[mute]["attempts"] == 2
    assert {table[clip]["attempts"] for clip in lost} == {2}
    assert encode(root, config, INPUTS).reasons == {"bad_caption": 1}
    assert verify(find_set(root)) == []
    assert not list(root.ledger.glob("deaths/*"))


def test_a_clip_that_kills_the_process_is_set_aside(films, config, tmp_path, monkeypatch):
    """A clip that no run survives, where the driver does the work and nobody else can count."""
    root = DataRoot(tmp_path)
    poison = fill_ledger(root, films)[1]["clip_id"]

    class GoneError(BaseException):
        """As far as `encode` can tell the process has ended: nothing below is run."""

    def dies(self, row, *given, clip=ClipEncoder.clip):
        if row["clip_id"] == poison:
            raise GoneError
        return clip(self, row, *given)

    monkeypatch.setattr(ClipEncoder, "clip", dies)
    monkeypatch.setattr(Attempts, "end", lambda *_: None)
    monkeypatch.setattr(Attempts, "close", lambda *_: None)
    for _ in range(2):
        with pytest.raises(GoneError):
            encode(root, config, INPUTS)
    tally = encode(root, config, INPUTS)
    assert (tally.status["ok"], tally.reasons) == (7, {"worker_died": 1})
    row = {r["clip_id"]: r for r in Ledger(root.ledger).rows(f"artefacts/{find_set(root).name}")}
    assert row[poison]["attempts"] == 2
    assert encode(root, config, INPUTS).earlier == 8, "a rerun leaves it alone"
    monkeypatch.undo()
    freed = encode(root, config, INPUTS, replay=["worker_died"])
    assert (freed.total, freed.status["ok"]) == (1, 1)
    assert verify(find_set(root)) == []


def test_readers_ahead_change_nothing(films, encoded, config, tmp_path):
    """Clips that change places, a failure that lands on another clip or is lost, and readers that
    stay behind, where decoders work ahead of the networks."""
    root = DataRoot(tmp_path)
    rows = fill_ledger(root, films)
    gone = rows[2]["clip_id"]
    Ledger(root.ledger).append("clips", [rows[2] | {"path": str(films / "gone.mp4")}])
    tally = encode(root, config.model_copy(update={"readers": 3}), INPUTS)
    assert tally.reasons == {"unreadable": 1}
    found, alone = (samples_of(place) for place in (root, encoded))
    assert found == {key: crc for key, crc in alone.items() if key != gone}
    assert not [t for t in threading.enumerate() if t.name.startswith("reader")]


def samples_of(root):
    folder = find_set(root)
    table = read_index(folder, read_contract(folder))
    return dict(zip(*(table[name].to_pylist() for name in ("key", "crc")), strict=True))


def test_nothing_kept_is_said(config, tmp_path):
    """Catches an empty set that training would only trip over later."""
    with pytest.raises(ValueError, match="no clip was kept"):
        encode(DataRoot(tmp_path), config, INPUTS)


def test_constants_are_what_the_networks_make(encoded, config):
    """Catches conditions that say "nothing" with the latent of something."""
    folder = find_set(encoded)
    constants = read_constants(folder, read_contract(folder))
    names = {f"black.base.{b}" for b in ("32x32x17@8", "32x32x9@8")}
    assert names | {n.replace("black.base", "silence") for n in names} == set(constants)
    encoder = ClipEncoder(config)
    black = encoder.video.encode(torch.full((1, 3, 17, 32, 32), -1.0))[0].half()
    assert torch.equal(constants["black.base.32x32x17@8"], black)
    encoder.close()


def test_a_sample_is_a_function_of_its_clip(films, config, tmp_path):
    """Catches a clip whose sample depends on what was encoded before it, and paths in shards."""
    rows = [
        row | {"bytes": None, "mtime_ns": None, "captions": {"short": "a", "long": "b"}}
        for row in fill_ledger(DataRoot(tmp_path / "x"), films)[:2]
    ]
    encoder = ClipEncoder(config)
    try:
        side = encoder.shard(Task("s", "32x32x17@8", tuple(rows)), tmp_path)
        again = encoder.clip(rows[1], "32x32x17@8")
    finally:
        encoder.close()
    assert [s["key"] for s in side["samples"]] == [row["clip_id"] for row in rows]
    last = side["samples"][-1]
    data = (tmp_path / "s.tar").read_bytes()
    info = json.loads(data[last["json_offset"] : last["json_offset"] + last["json_size"]])
    assert info["captions"] == {"short": "a", "long": "b"}
    assert "path" not in info
    tensors = safetensors.torch.load(data[last["offset"] : last["offset"] + last["size"]])
    assert all(torch.equal(tensors[name], t) for name, t in again.tensors.items())


def test_a_letterboxed_film_is_encoded_without_its_bars(tmp_path):
    """Black rows in latents, or latents of another part of the picture than the film without bars
    would give. From film to decoded latent, with the embedded autoencoder."""
    world = WorldConfig(height=128, width=192, seconds=(2.5, 2.5), backgrounds=("stripes",), seed=4,
                        defects=Defects(letterbox=1.0))  # fmt: skip
    film = make_film(world, 0)
    (planted,) = film.truth["defects"]
    top, bottom = planted["top"], 128 - planted["bottom"]
    shown = {}
    for name, pixels in (("barred", film.pixels), ("by_hand", film.pixels[:, top:bottom])):
        folder = tmp_path / name
        folder.mkdir()
        write_clip(folder / "0.mp4", pixels, film.fps, film.samples, film.rate, crf=4)
        root = DataRoot(folder / "data")
        fill_ledger(root, folder, spans=((0.0, 2.125),))
        with MediaReader() as reader:
            config = FilmConfig(shots="stride")
            measured = measure_film(
                reader, str(folder / "0.mp4"), "s", config, lambda *_: [(0.0, 17)], 8, None
            )
        ledger = Ledger(root.ledger)
        (clip,) = ledger.rows("clips")
        ledger.append("scores/scan@scan", [measured.scores[0] | {"clip_id": clip["clip_id"]}])
        size = Rendition(height=64, width=128, fps=8, frames=17)
        encode(root, EncodeConfig(renditions=(size,), text=("short",)), INPUTS)
        assert verify(find_set(root)) == []
        sample = Reader(find_set(root)).sample(0)
        assert ("crop" in sample.info) == (name == "barred")
        with torch.inference_mode():
            decoded = load_video_vae("embedded").decode(sample.video[None].float())[0]
        shown[name] = ((decoded + 1) * 127.5).clamp(0, 255).numpy()
    error = float(np.mean((shown["barred"] - shown["by_hand"]) ** 2))
    assert 10 * np.log10(255**2 / error) > 24
    darkest = {name: rows.max(axis=0).min(axis=(0, 2)).min() for name, rows in shown.items()}
    assert darkest["barred"] > darkest["by_hand"] - 8 > 20, "a row of bar is left"


def test_rendition_keeps_the_clock(films):
    """Catches pictures half a frame off and sound off by samples: frame n of the film has level
    n + 20, clicks lie on whole seconds."""
    with MediaReader() as reader:
        shown = picture(reader, str(films / "0.mp4"), 2.5, (17, 32, 32), 8.0)
        heard = sound(reader, str(films / "0.mp4"), 2.5, 34_000, RATE)[0]
    assert shown.shape == (17, 32, 32, 3)
    expected = 20 + np.floor((2.5 + (np.arange(17) + 0.5) / 8) * FPS + 1e-9)
    levels = shown.mean(axis=(1, 2, 3))
    assert np.abs(levels - expected).max() < 1.2, "a source frame is one level"
    clicks = [round(second * RATE) - 40_000 for second in (3, 4)]
    peaks = [np.abs(heard[c - 400 : c + 400]).argmax() - 400 for c in clicks]
    assert np.abs(peaks).max() <= 16, "1 ms"
    assert heard.dtype == np.float32
    assert len(heard) == 34_000
