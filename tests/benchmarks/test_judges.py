"""The judges on real clips with their real models: the table of docs/judges.md, kept."""

import cv2
import pytest

from benchmarks.judges import answers, judge_all
from benchmarks.judges_clips import make_clips
from curation.judges.columns import JUDGES
from curation.judges.config import JudgeConfig
from curation.judges.evidence import Tools
from curation.media import MediaReader

pytestmark = pytest.mark.slow  # 75 MB of packages and a minute
pytest.importorskip("rapidocr", reason="the extra curate is not installed")


def test_known_answers_of_real_clips(tmp_path):
    """A model fed wrongly: it still answers, and only a clip whose truth is known tells."""
    cv2.setNumThreads(1)
    with MediaReader() as reader:
        tools = Tools(JudgeConfig(judges=JUDGES))
        lines = answers(judge_all(make_clips(tmp_path, quick=True), tools, reader))
    wrong = [line for line in lines if line[-1] != "yes"]
    assert len(lines) >= 40
    assert not wrong
