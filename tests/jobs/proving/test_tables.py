"""Intervals, chance and targets of a table's rows; PSNR and seams of what was kept."""

import json

import numpy as np
import pytest

from jobs.proving import kept, measures
from jobs.proving.cases import TEXT, cases
from jobs.proving.made import same_words
from jobs.proving.others import twins
from jobs.proving.tables import Set, estimate, measured, row
from tests.jobs.proving.conftest import WORLD


def test_clips_are_resampled_not_numbers():
    """Catches an interval that thinks forty sounds of two clips are forty clips."""
    clips = [[1.0] * 20, [0.0] * 20]
    found = estimate(clips)
    assert (found.value, found.low, found.high, found.clips) == (0.5, 0.0, 1.0, 2)
    many = estimate([[float(n % 2)] for n in range(200)])
    assert 0.4 < many.low < 0.5 < many.high < 0.6
    assert estimate([[], []]) is None
    assert estimate([[1.0], [5.0], [100.0], []], "median").value == 5.0
    assert estimate(clips) == found, "the same numbers give the same interval"


def test_rows_put_what_is_right_between_its_bounds(known):
    """Catches a bound that pairs a clip with itself, or a target that counts the wrong way."""
    there = known[64]
    sets = {name: Set(there.truths, there.readings) for name in ("made", "reencoded")}
    sets["untrained"] = Set(there.truths, [there.readings[0]] * len(there.truths))
    attribute = row(("text", "picture"), measures.picture, sets, target=0.95)
    assert attribute.reached
    assert attribute.bounds["chance"].value < 0.2
    assert attribute.bounds["untrained"].value < 0.4
    assert "shifted" not in attribute.bounds
    late = row(("sync", "ms"), measures.sync_ms, sets, "median", 30.0, of_pairs=True)
    assert late.unit == "ms"
    assert late.made.value < 40 < late.bounds["chance"].value
    assert late.bounds["shifted"].value > 2 * late.made.value
    assert late.reached == (late.made.value <= 30)
    assert json.loads(json.dumps(late.card()))["made"]["clips"] == len(there.truths)


def test_the_same_words_say_what_an_object_is_and_not_all_that_happens(tmp_path):
    """Catches a bound that compares a film with itself, or with one of other words."""
    world = WORLD.model_copy(update={"shapes": ("ball", "square"), "colours": ("red", "blue")})
    asked = cases(TEXT, world, 6, tmp_path)
    found = twins(world, [case.prompt for case in asked])
    assert {place for place, _ in found} == set(range(6))
    for place, film in found:
        assert film.truth["index"] >= 6
        assert film.captions["segments"][0]["short"] == asked[place].prompt
    same = Set(*zip(*same_words(world, asked), strict=True))
    assert measured(measures.colour, same).value == 1
    assert 0 < measured(measures.events, same).value < 1, "words leave open when the film ends"


@pytest.mark.parametrize("axis", ["time", "space"])
def test_psnr_and_seam_know_what_was_kept(known, axis):
    """Catches a mask read the wrong way round, and a seam that motion alone makes."""
    film = known[64].films[0]
    keep = np.zeros(film.pixels.shape[:3], bool)
    part = (slice(9), ...) if axis == "time" else (..., slice(32))
    keep[part] = True
    other = known[64].films[1].pixels
    jumped = np.where(keep[..., None], film.pixels, other)
    assert kept.psnr(jumped, film.pixels, keep) == kept.BEST_DB
    assert kept.psnr(jumped, film.pixels, ~keep) < 25
    assert kept.psnr(film.pixels, film.pixels, keep & ~keep) is None
    assert kept.seam(film.pixels, keep) < 2
    assert kept.seam(jumped, keep) > 4
    assert kept.seam(film.pixels, keep | True) is None
