"""Round trips: of the right clips, measured right, once, and never a reason to lose a set."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from curation.media import MediaReader
from curation.rendition import picture, sound
from model.vae import load_audio_vae, load_video_vae
from pipelines.attempts import timing
from pipelines.contract import find_set
from pipelines.encode import encode
from pipelines.encode_config import EncodeConfig, Rendition
from pipelines.ledger import Ledger
from pipelines.roundtrip import first, mel_difference, psnr
from pipelines.storage import DataRoot
from pipelines.stream import Reader
from pipelines.takedown import take_down
from tests.encode_films import INPUTS, fill_ledger, write_films

RENDITIONS = (
    Rendition(height=32, width=32, fps=8, frames=17),
    Rendition(name="long", height=16, width=24, fps=24, frames=49),
)
CONFIG = EncodeConfig(renditions=RENDITIONS, text=("short",), workers=1, roundtrip_clips=5)


@pytest.fixture
def made(tmp_path):
    """An encoded set of three films, one of them silent."""
    root = DataRoot(tmp_path / "data")
    fill_ledger(root, write_films(tmp_path / "films"))
    encode(root, CONFIG, INPUTS)
    return root


def table(root):
    return f"roundtrips/{find_set(root).name}"


def test_rows_are_those_of_the_samples_decoded_again(made):
    """Catches a measure of other frames, of another clip, or of latents that are not the set's."""
    rows = Ledger(made.ledger).rows(table(made))
    reader = Reader(find_set(made))
    keys = reader.columns["key"].to_pylist()
    assert {row["clip_id"] for row in rows} == set(first(keys, 5))
    assert len(rows) == 2 * 5
    video, audio = load_video_vae(), load_audio_vae()
    sources = {row["source_id"]: row["path"] for row in Ledger(made.ledger).rows("sources")}
    silent = 0
    for row in rows:
        sample = reader.sample(keys.index(row["clip_id"]))
        size = reader.geometry[sample.bucket][row["rendition"]]
        frames, start = min(33, size.frames), sample.info["start_s"]
        assert row["frames"] == frames
        path = sources[sample.info["source_id"]]
        with MediaReader() as media:
            shown = picture(media, path, start, (frames, size.height, size.width), size.fps)
            latent = sample.videos[row["rendition"]][None, :, : 1 + (frames - 1) // 4]
            with torch.no_grad():
                back = video.decode(latent.float())[0].movedim(0, -1)
            assert row["psnr_db"] == pytest.approx(psnr(shown, back), abs=1e-3)
            assert row["psnr_db"] > 25, "grey that rises slowly"
            if row["rendition"] == "long" or sample.audio is None:
                assert row["sound_db"] is None
                silent += sample.audio is None
                continue
            heard = sound(media, path, start, sample.geometry.samples, 16_000)[0]
        again = audio.decode(sample.audio[None].float(), samples=len(heard))[0, 0]
        wanted = mel_difference(torch.from_numpy(heard), again, 16_000, 16_000)
        assert row["sound_db"] == pytest.approx(wanted, abs=1e-3)
    assert silent >= 2, "the sample has no silent clip: the lot of ids changed"
    assert {row["detail"] for row in rows} == {None}


def test_a_rerun_measures_nothing_and_a_lost_table_comes_back_the_same(made):
    """Catches decoding at every run, and a measure that depends on anything but the set."""
    folder = made.ledger / table(made)
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    with timing() as nothing:
        encode(made, CONFIG, INPUTS)
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()} == before
    for path in folder.iterdir():
        path.unlink()
    with timing() as times:
        encode(made, CONFIG, INPUTS)
    assert "start of round trips" not in nothing
    assert times["start of round trips"] > 0, "a plan would leave them out"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        n: b for n, (b, _) in before.items()
    }


def test_a_film_that_is_gone_costs_its_measure_only(made):
    """Catches a finished set that cannot be closed because a film was moved since."""
    ledger = Ledger(made.ledger)
    gone = ledger.rows(table(made))[0]["clip_id"].split("-")[0]
    for source in ledger.rows("sources"):
        if source["source_id"] == gone:
            Path(source["path"]).unlink()
    ledger.replace(table(made), [])
    encode(made, CONFIG, INPUTS)
    for row in ledger.rows(table(made)):
        lost = row["clip_id"].startswith(gone)
        assert (row["psnr_db"] is None) == lost
        assert (row["detail"] or "").startswith("unreadable") == lost


def test_a_takedown_reaches_the_table(made):
    """Catches numbers of a film that was to be forgotten."""
    ledger = Ledger(made.ledger)
    gone = ledger.rows(table(made))[0]["clip_id"].split("-")[0]
    take_down(made, [gone])
    left = ledger.rows(table(made))
    assert left
    assert not [row for row in left if row["clip_id"].startswith(gone)]


def test_measures():
    """Catches a scale, a rate or a floor that is off: both are compared with plain formulas."""
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    after = before.astype(np.float64) + rng.integers(-9, 10, before.shape).clip(
        -before, 255 - before
    )
    wanted = 10 * np.log10(255**2 / np.square(after - before).mean())
    assert psnr(before, torch.from_numpy(after / 127.5 - 1)) == pytest.approx(wanted, abs=1e-3)
    assert psnr(before, torch.from_numpy(before / 127.5 - 1)) == 99
    loud = torch.from_numpy(rng.normal(0, 0.1, 16_000))
    assert mel_difference(loud, loud, 16_000, 16_000) == 0
    assert mel_difference(loud, loud / 2, 16_000, 16_000) == pytest.approx(6.02, abs=0.01)
    assert mel_difference(loud, 0 * loud, 16_000, 16_000) < 60
    other = torch.from_numpy(rng.normal(0, 0.1, 16_000))
    bands, window = librosa.filters.mel(sr=16_000, n_fft=1024, n_mels=64), np.hanning(1025)[:-1]
    levels = []
    for sound_ in (loud, other):
        padded = np.pad(sound_.numpy(), 512, mode="reflect")
        pieces = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::256]
        power = bands @ np.square(np.abs(np.fft.rfft(pieces * window))).T
        levels.append(power)
    floor = levels[0].max() * 1e-6
    spread = np.abs(np.subtract(*(10 * np.log10(np.maximum(x, floor)) for x in levels))).mean()
    assert mel_difference(loud, other, 16_000, 16_000) == pytest.approx(spread, abs=0.01)
    clock = np.arange(48_000) / 48_000
    tone = torch.from_numpy(np.sin(2 * np.pi * 440 * clock))
    assert mel_difference(tone[::3], tone, 48_000, 16_000) < 0.5, "a rate that is not brought down"
