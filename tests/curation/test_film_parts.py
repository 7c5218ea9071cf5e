"""Long films in parts: the same clips as of one piece."""

from itertools import pairwise

import pytest

from curation.film import joined, measure_film, measure_part
from curation.film_config import FilmConfig
from curation.film_parts import LEAST_S, Measured, Part, held, in_order, parts_of
from curation.media import MediaReader
from curation.media_part import Copy
from pipelines.cuts import windows
from pipelines.scan_config import WindowConfig
from tests.long_film import FPS, SECONDS, write_long_film

WINDOW = WindowConfig(fps=FPS, min_s=2, max_s=5)
CONFIG = FilmConfig(short_side=32)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_long_film(tmp_path_factory.mktemp("long") / "0.mp4")


def cut(start, end):
    return windows(start, end, WINDOW)


@pytest.fixture(scope="module")
def measured(film):
    """The film in one piece, and in two."""
    with MediaReader() as reader:
        whole = measure_film(reader, film, "s", CONFIG, cut, FPS, None)
        parts = []
        for part in (Part(0, 2), Part(1, 2)):
            here = Copy(film, held(part, SECONDS, FPS), missing)
            with reader.holding(here):
                parts.append(measure_part(reader, film, "s", CONFIG, cut, FPS, None, part))
    return whole, parts


def missing(_):
    raise AssertionError("a part of a film was read beyond what is fetched for it")


def test_parts_that_meet_at_a_cut_are_the_film(measured):
    """Frames that are lost, or in two clips, where a film is shared out; shots counted twice;
    scores that depend on it: a first frame without motion, sound that is shifted after a seek; a
    part for which all of a film in a store would be fetched after all."""
    whole, parts = measured
    assert min(len(part.clips) for part in parts) > 20
    assert not any(part.continues for part in parts)
    film = joined(parts)
    assert film.facts == whole.facts
    assert film.clips == whole.clips
    assert film.scores == whole.scores


def test_parts_that_meet_within_a_shot_share_no_frame(film):
    """A long take that is in no part, in both, or costs more than a shortest clip on each side."""
    config = CONFIG.model_copy(update={"shots": "stride"})
    with MediaReader() as reader:
        parts = [
            measure_part(reader, film, "s", config, cut, FPS, None, Part(number, 2))
            for number in range(2)
        ]
    assert parts[1].continues
    whole = joined(parts)
    assert whole.facts["shots"] == 1
    assert {clip["shot"] for clip in whole.clips} == {0}
    spans = [(clip["start_s"], clip["end_s"]) for clip in whole.clips]
    assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(spans))
    assert not any(start < SECONDS / 2 < end for start, end in spans)
    assert SECONDS - sum(end - start for start, end in spans) < 2 * (WINDOW.min_s + 1)
    assert [row["clip_id"] for row in whole.scores] == [clip["clip_id"] for clip in whole.clips]


def test_a_cut_that_only_one_part_sees_doubles_nothing():
    """The same second in two clips, because two parts met at different places."""
    first = Measured({}, 1, False, 9.0, [{"start_s": 0.0, "end_s": 5.0, "shot": 0}], [{"n": 0}])
    late = [{"start_s": at, "end_s": at + 2, "shot": 0} for at in (3.0, 5.0)]
    second = Measured({}, 1, True, 9.0, late, [{"n": 1}, {"n": 2}])
    clips, scores = in_order([first, second])
    assert [clip["start_s"] for clip in clips] == [0.0, 5.0]
    assert scores == [{"n": 0}, {"n": 2}]


def test_a_film_too_short_for_its_parts_leaves_the_last_nothing(measured, film):
    """A large file of few seconds shared out so finely that edges cost more than they give."""
    with MediaReader() as reader:
        third = measure_part(reader, film, "s", CONFIG, cut, FPS, None, Part(2, 3))
    assert third == Measured()
    assert SECONDS < 3 * LEAST_S
    assert Part(1, 3).span(SECONDS) == (SECONDS / 2, None)
    assert Part(0, 2).span(1.9 * LEAST_S) == (0.0, None)


def test_parts_follow_from_the_size_alone():
    """A number of parts that a worker, a clock or a machine has a say in; none where nothing is."""
    assert [part.of for part in parts_of(0, 24)] == [1]
    assert parts_of(24 << 20, 24) == [Part(0, 1)]
    assert parts_of((24 << 20) + 1, 24) == [Part(0, 2), Part(1, 2)]
    assert len(parts_of(1 << 40, 24)) == 16
