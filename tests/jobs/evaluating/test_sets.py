"""Folders against each other: who is paired with whom, and what a difference says."""

from pathlib import Path

import numpy as np
import pytest

from jobs.evaluating.clips import Clip
from jobs.evaluating.features import Features
from jobs.evaluating.metrics import METRICS, Metric, listed
from jobs.evaluating.sets import Folder, Scored, lines, pairs

RNG = np.random.default_rng(0)
FLICKER = next(metric for metric in METRICS if metric.name == "temporal_flickering")
BRISQUE = next(metric for metric in METRICS if metric.name == "brisque")
KL = next(metric for metric in METRICS if metric.name == "kl_sound")
ONSETS = next(metric for metric in METRICS if metric.name == "onset_f1")
FD = next(metric for metric in METRICS if metric.name == "fd_sound")
IS = next(metric for metric in METRICS if metric.name == "is_sound")


def clip(name, prompt="", seed=None):
    return Clip(Path(f"{name}.mp4"), prompt, seed)


def folder(values, metric="temporal_flickering", shift=0.0):
    scored = []
    for number, value in enumerate(values):
        features = Features(
            {"sound": RNG.normal(shift, 1, (4, 6))},
            {"sound": 5 * np.eye(6)[number % 6] + shift},
            np.array([0.5, 1.0 + shift]),
        )
        here = clip(f"{metric}-{shift}-{number}", f"prompt {number}", number)
        scored.append(Scored(here, {metric: value}, features))
    return Folder("somewhere", scored)


def line(metric: Metric, **folders):
    (found,) = lines(folders, [metric], 0)
    return found


def test_clips_are_paired_by_name_then_request_then_prompt():
    """A clip compared with another's, or with two."""
    a = [clip("x"), clip("a1", "cat", 1), clip("a2", "dog", 1), clip("a3", "dog", 2), clip("a4")]
    b = [clip("b1", "dog", 2), clip("b2", "dog", 7), clip("b3", "cat", 1), clip("x", "owl", 3)]
    assert pairs(a, b) == [(0, 3), (1, 2), (2, 1), (3, 0)]
    assert pairs(a, []) == []


def test_a_difference_is_of_pairs():
    """Means subtracted, whose spread between prompts hides a small sure difference."""
    values = RNG.uniform(0, 1, 20)
    first, second = folder(values), folder(values + 0.01, shift=1)
    found = line(FLICKER, made=first, other=second)
    assert found.difference.value == pytest.approx(0.01)
    assert 0 < found.difference.low <= found.difference.high < 0.02
    assert found.better == 1
    assert found.values["made"].high - found.values["made"].low > 0.1
    worse = line(BRISQUE, made=folder(values, "brisque"), other=folder(values + 1, "brisque", 1))
    assert worse.better == 0
    assert line(FLICKER, made=first, other=folder(values, shift=2)).better == 0.5


def test_a_null_is_no_value():
    """A clip without a score counted as 0, in a mean or a pair."""
    found = line(FLICKER, made=folder([1.0, None, 3.0]), other=folder([2.0, 5.0, None], shift=1))
    assert found.values["made"].value == 2
    assert found.values["made"].clips == 2
    assert found.difference.value == 1
    assert line(FLICKER, made=folder([None, None])).values["made"] is None


def test_a_reference_gives_distances_and_pairs():
    """A distance without a floor; a pair that is not of the same request."""
    real = folder(np.zeros(12))
    near, far = folder(np.zeros(12), shift=0.1), folder(np.zeros(12), shift=3)
    distance = line(FD, made=far, other=near, reference=real)
    assert distance.values["made"].value > 9 * 6 * 0.8
    assert distance.values["other"].value < 5
    assert distance.values["reference"].value < 8  # two halves of 24 rows
    assert distance.difference.high < 0
    same = line(KL, made=near, reference=real)
    assert same.values["made"].value == pytest.approx(0, abs=1e-6)  # logits moved by a constant
    assert line(ONSETS, made=far, reference=real).values["made"].value == 0.5
    assert line(FD, made=near).values["made"] is None
    assert line(IS, made=real).values["made"].value == pytest.approx(6, rel=0.2)


def test_metrics_of_files_are_listed_with_their_file():
    """Empty rows for networks that nobody gave, or a given one that is not shown."""
    names = {metric.name for metric in listed([])}
    assert "desync_s" not in names
    assert "av_align" in names
    assert {metric.name for metric in listed(["desync"])} - names == {"desync_s"}
    assert len({metric.name for metric in METRICS}) == len(METRICS)
