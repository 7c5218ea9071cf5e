"""Text that is read, and text that stays, by the real reader on drawn pictures."""

import cv2
import numpy as np
import pytest

from curation.judges import text
from curation.judges.bench import judgement
from curation.judges.config import JudgeConfig
from curation.judges.evidence import Evidence, Tools
from curation.judges.seen import Seen

pytest.importorskip("rapidocr", reason="the extra curate is not installed")


@pytest.fixture(scope="module")
def tools():
    return Tools(JudgeConfig(judges=("text",)))


def frames(titles, logo="", hostile=None):
    """A moving texture with a title a frame and, if given, a logo that stays."""
    rng = np.random.default_rng(0)
    found = []
    for number, title in enumerate(titles):
        small = rng.integers(60, 120, (9, 16, 3)).astype(np.uint8)
        picture = cv2.resize(np.roll(small, number, axis=1), (640, 360))
        cv2.putText(picture, title, (60, 180), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (255, 255, 255), 3)
        cv2.putText(picture, logo, (440, 340), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 0), 2)
        found.append(picture)
    return np.stack(found)


def row(tools, pixels):
    times = np.arange(len(pixels)) / 2
    seen = Seen("c", 0.0, 2.0, times, pixels, np.zeros(0, np.float32), lambda: None)
    return judgement("text", Evidence(seen, tools, tools.config))


def test_titles_are_read_and_a_logo_stays(tools):
    """A passing title dropped as overlay, or a channel's logo that nobody sees."""
    found = row(tools, frames(["MORNING", "HARBOUR", "THE END"], "NEWS 24"))
    assert found["status"] == "ok"
    for word in ("MORNING", "HARBOUR", "THE END"):
        assert word in found["text"]
    assert found["overlay_text"].replace(" ", "") == "NEWS24"
    assert 0.005 < found["overlay_area"] < found["text_area"] < 0.25


def test_no_text_is_zero_and_null(tools):
    """Letters read into a texture, or null where the answer is `none`."""
    found = row(tools, frames(["", "", ""]))
    assert (found["text_area"], found["overlay_area"], found["text_lines"]) == (0, 0, 0)
    assert found["text"] is None


def test_text_is_capped_data(tools):
    """A film whose text breaks a table's row or fills it."""
    found = text.words([text.Line(np.zeros((4, 2), np.float32), "a|b\n<x>" * 900)])
    assert len(found) <= text.MOST_CHARS
    assert "\n" not in found
    assert "|" not in found
