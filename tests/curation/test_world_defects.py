"""Defects are what their truth says: filters are held to these numbers."""

import numpy as np
import pytest
from pydantic import ValidationError

from curation.media import MediaReader
from curation.world.config import Defects, WorldConfig
from curation.world.film import make_clean_film, make_film
from curation.world.films import film_path, write_film
from curation.world.picture_defects import BARS

LOOK = {"height": 64, "width": 96, "fps": 16, "seconds": (3, 3), "rate": 48_000, "channels": 2}
BEDS = {"music": 1.0, "wind": 1.0, "backgrounds": ("texture",)}


def pair(kind, **more):
    """(film with the defect, the same film without, the defect's facts)."""
    config = WorldConfig(seed=4, defects=Defects(**{kind: 1.0}), **LOOK, **BEDS, **more)
    film = make_film(config, 0)
    return film, make_clean_film(config, 0), film.truth["defects"][0]


def power(samples):
    return float(np.square(samples, dtype=np.float64).mean())


def test_a_watermark_stays_in_its_corner():
    """A logo that moves, covers the middle, or is opaque."""
    film, clean, facts = pair("watermark")
    touched = (film.pixels != clean.pixels).any(axis=(0, 3))
    rows, columns = np.nonzero(touched)
    assert np.ptp(rows) < facts["side"]
    assert np.ptp(columns) < facts["side"]
    assert (rows.mean() > 32) == (facts["corner"] >= 2)
    assert (columns.mean() > 48) == (facts["corner"] % 2 == 1)
    assert film.pixels[:, touched].max() < 255 or facts["alpha"] < 1


def test_noise_has_its_sigma_and_is_fresh():
    """A fixed pattern instead of grain, or another strength."""
    film, clean, facts = pair("noise")
    difference = film.pixels.astype(float) - clean.pixels
    assert difference.std() == pytest.approx(facts["sigma"], rel=0.1)
    assert abs(np.corrcoef(difference[0].ravel(), difference[1].ravel())[0, 1]) < 0.05


def test_exposure_reaches_what_it_says():
    """A gain that only brightens: half of the picture must lose its drawing."""
    film, _, _ = pair("overexposed")
    assert (film.pixels.min(axis=-1) >= 240).mean() > 0.3
    film, _, _ = pair("underexposed")
    assert (film.pixels.max(axis=-1) <= 24).mean() > 0.8


def test_blocks_lie_on_the_grid_of_eight():
    """Blocks elsewhere, or a picture that is hardly touched."""
    film, clean, _ = pair("blocking")
    step = np.abs(np.diff(film.pixels[0].mean(axis=-1), axis=1)).mean(axis=0)
    assert step[7::8].mean() > 2 * np.delete(step, np.s_[7::8]).mean()
    assert np.abs(film.pixels.astype(int) - clean.pixels).mean() > 1


def test_an_inset_moves_inside_and_nowhere_else():
    """A page that moves, or a film beside its stated place."""
    film, _, facts = pair("inset")
    moved = np.ptp(film.pixels, axis=0).any(axis=-1)
    rows, columns = np.nonzero(moved)
    assert facts["top"] <= rows.min()
    assert rows.max() < facts["top"] + facts["height"]
    assert facts["left"] <= columns.min()
    assert columns.max() < facts["left"] + facts["width"]


def test_pillars_are_black_and_of_one_width():
    """Bars that hide the picture instead of framing it."""
    film, _, facts = pair("pillarbox")
    assert facts["left"] == round(BARS * 96)
    assert not film.pixels[:, :, : facts["left"]].any()
    assert not film.pixels[:, :, -facts["right"] :].any()
    assert film.pixels[:, :, facts["left"] + 1].any()


def test_dropped_frames_are_gone_and_the_others_keep_their_times(tmp_path):
    """A film that runs faster instead of losing frames."""
    config = WorldConfig(seed=4, defects=Defects(drops=1.0), **LOOK)
    write_film(config, tmp_path, 0)
    lost = make_film(config, 0).truth["defects"][0]["frames"]
    with MediaReader() as reader:
        times = reader.frames(film_path(tmp_path, 0), short_side=32).times
    kept = [n / 16 for n in range(48) if n not in lost]
    np.testing.assert_allclose(times, kept, atol=1e-3)
    assert len(lost) == 7


@pytest.mark.parametrize("kind", ["hiss", "hum"])
def test_noise_under_the_sound_has_its_ratio(kind):
    """A ratio of another meaning than decibels of power."""
    film, clean, facts = pair(kind)
    gain = (film.samples * clean.samples).sum() / np.square(clean.samples).sum()
    noise = film.samples - gain * clean.samples
    ratio = 10 * np.log10(power(gain * clean.samples) / power(noise))
    assert ratio == pytest.approx(facts["snr_db"], abs=0.5)


def test_channels_lie_as_stated():
    """A dead channel that whispers, a fake stereo with a side, an inversion of both."""
    film, _, facts = pair("dead_channel")
    assert not film.samples[facts["channel"]].any()
    assert film.samples[1 - facts["channel"]].any()
    film, clean, _ = pair("fake_stereo")
    assert np.array_equal(film.samples[0], film.samples[1])
    assert not np.array_equal(clean.samples[0], clean.samples[1])
    film, clean, _ = pair("inverted")
    assert np.array_equal(film.samples[0], clean.samples[0])
    assert np.array_equal(film.samples[1], -clean.samples[1])


def test_narrowband_has_nothing_above_its_cut():
    """A soft filter instead of what resampling leaves."""
    film, clean, facts = pair("narrowband")
    frequency = np.fft.rfftfreq(film.samples.shape[1], 1 / 48_000)
    high = frequency > 1.05 * facts["cut_hz"]
    after, before = (np.abs(np.fft.rfft(f.samples[0]))[high].max() for f in (film, clean))
    assert after < 1e-3 * before


def test_dropouts_are_zeros_inside_sound():
    """Holes in silence, which nobody could hear."""
    film, clean, facts = pair("dropouts")
    assert 3 <= len(facts["holes"]) <= 5
    for start, end in facts["holes"]:
        first, last = round(start * 48_000), round(end * 48_000)
        assert not film.samples[:, first:last].any()
        assert power(clean.samples[:, first - 240 : first]) > 0
        assert power(film.samples[:, last : last + 240]) > 0


def test_clipping_cuts_the_stated_share():
    """A gain that only makes louder."""
    film, _, facts = pair("clipping")
    assert (np.abs(film.samples) >= 1).mean() == pytest.approx(facts["share"], rel=0.2)


def test_swap_takes_another_films_sound_and_keeps_the_picture():
    """A swap that swaps nothing, or the picture too."""
    film, clean, facts = pair("swap")
    other = make_clean_film(WorldConfig(seed=4, **LOOK, **BEDS), facts["of"])
    assert np.array_equal(film.pixels, clean.pixels)
    assert np.array_equal(film.samples, other.samples)


def test_one_channel_cannot_lie():
    """A stereo defect planted in mono, where it would be none."""
    with pytest.raises(ValidationError, match="channels=2"):
        WorldConfig(defects=Defects(inverted=0.5))


def test_wind_leaves_worlds_without_it_alone():
    """A new draw that changes every film there was."""
    plain = make_clean_film(WorldConfig(seed=1), 3)
    windy = make_clean_film(WorldConfig(seed=1, wind=1.0), 3)
    assert np.array_equal(plain.pixels, windy.pixels)
    assert not np.array_equal(plain.samples, windy.samples)
    assert "soft gusts of wind" in windy.captions["segments"][0]["short"]
