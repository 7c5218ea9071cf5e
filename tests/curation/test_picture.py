"""Clip scores from frames whose times, bars and exposure are known."""

import numpy as np
import pytest

from curation.picture import picture_scores
from curation.scores import CROP
from curation.sight import Sight

H, W = 96, 144


def film(frames=32, level=110):
    pixels = np.full((frames, H, W, 3), level, np.uint8)
    for i, pixel in enumerate(pixels):
        pixel[30:60, 10 + 2 * i : 40 + 2 * i] = (200, 60, 40)
    return pixels


def scores(pixels, times=None):
    sight = Sight()
    sight.feed(np.arange(len(pixels)) / 16 if times is None else times, pixels)
    return picture_scores(sight.track(), *pixels.shape[1:3])


def test_dropped_frames_are_counted_and_rounding_is_not():
    """Containers that round to 1 ms taken for dropped frames, or drops that are missed."""
    pixels = film(60)
    even = scores(pixels, np.round(np.arange(60) / 29.97, 3))
    assert even["irregular_share"] == 0
    assert even["largest_gap_ms"] == pytest.approx(34, abs=1)
    kept = [i for i in range(60) if i not in (10, 11, 30)]
    dropped = scores(pixels[kept], np.array(kept) / 16)
    assert dropped["irregular_share"] == pytest.approx(2 / 56)
    assert dropped["largest_gap_ms"] == pytest.approx(187.5)


def test_bars_are_told_as_what_to_crop():
    """A crop that leaves a dark line, or takes the picture."""
    pixels = film()
    pixels[:, :14] = pixels[:, -13:] = 0
    found = scores(pixels)
    assert found["bars"] == pytest.approx(27 / 96)
    assert [found[name] for name in CROP] == [pytest.approx(15 / 96), pytest.approx(14 / 96), 0, 0]
    sides = film()
    sides[:, :, :20] = sides[:, :, -20:] = 0
    found = scores(sides)
    assert [found[name] for name in CROP] == [0, 0, *[pytest.approx(21 / 144)] * 2]
    assert [scores(film())[name] for name in CROP] == [0, 0, 0, 0]


def test_exposure_does_not_count_bars():
    """A letterboxed film that is called underexposed."""
    pixels = film()
    pixels[:, :20] = pixels[:, -20:] = 0
    assert scores(pixels)["dark_share"] < 0.01
    night = film(level=10)
    night[:, 90:] = 120
    assert scores(night)["dark_share"] > 0.7
    light = film(level=253)
    assert scores(light)["blown_share"] > 0.7
    assert scores(film())["blown_share"] == 0


def test_what_is_dark_around_a_lit_thing_is_no_bar():
    """A night scene cropped to the one lamp in it, or bars around a dim picture that stay."""
    night = film(level=12)
    night[:, 84:] = 6  # its floor
    assert [scores(night)[name] for name in CROP] == [0, 0, 0, 0]
    night += 20
    night[:, :20] = night[:, -20:] = 0
    assert scores(night)["bar_top"] == pytest.approx(21 / 96)


def test_a_dark_edge_on_one_side_is_no_bar():
    """The shadow at the foot of a wall taken for half a letterbox."""
    pixels = film()
    pixels[:, -4:] = 0
    assert [scores(pixels)[name] for name in CROP] == [0, 0, 0, 0]
