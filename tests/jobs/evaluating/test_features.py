"""Features that sets are compared by: real networks on generated films, perturbed."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from curation.judges.config import JudgeConfig
from curation.judges.evidence import Tools
from curation.media import MediaReader
from jobs.evaluating.distances import divergence, frechet, inception
from jobs.evaluating.features import WINDOW, Features, Tagger, windows
from jobs.evaluating.scores import Bench, frames, sound, text_sound

pytest.importorskip("onnxruntime", reason="the extra curate is not installed")
FILMS = 4


@pytest.fixture(scope="module")
def films(world):
    """One second of some films: eight frames for a network."""
    return [replace(f, pixels=f.pixels[8:24], times=f.times[:16]) for f in world[:FILMS]]


@pytest.fixture(scope="module")
def bench():
    with MediaReader() as reader:
        yield Bench(JudgeConfig(), reader)


def of_frames(bench, films):
    """(rows of all films, mean consistency)."""
    rows, values = [], []
    for film in films:
        features = Features()
        values.append(frames(bench, film, features)["frame_consistency"])
        rows.append(features.rows["frames"])
    return np.concatenate(rows), float(np.mean(values))


def of_sound(bench, films):
    """(rows of all films, logits of each)."""
    found = [Features() for _ in films]
    for film, features in zip(films, found, strict=True):
        assert sound(bench, film, features) == {}
    return np.concatenate([f.rows["sound"] for f in found]), [f.logits["sound"] for f in found]


def pictured(film, change):
    return replace(film, pixels=np.stack([change(p) for p in film.pixels]))


def blurred(film, sigma):
    return pictured(film, lambda p: cv2.GaussianBlur(p, (0, 0), sigma))


def hissing(film, level):
    noise = np.random.default_rng(0).normal(0, level, film.sound.size).astype(np.float32)
    return replace(film, sound=film.sound + noise)


def test_a_window_is_mean_and_step():
    """Halves that are exchanged, or a step across windows."""
    rows = np.arange(2 * WINDOW, dtype=float)[:, None] ** 2
    found = windows(rows)
    assert found.shape == (2, 2)
    assert found[0] == pytest.approx([rows[:WINDOW].mean(), np.diff(rows[:WINDOW, 0]).mean()])
    assert windows(rows[:3]).shape == (1, 2)
    assert windows(rows[:1]).shape == (0, 2)


@pytest.fixture(scope="module")
def real(bench, films):
    return of_frames(bench, films)


@pytest.mark.slow
def test_blur_moves_pictures_away(bench, films, real):
    """A distance that falls, or stands still, as pictures get worse."""
    real, _ = real
    found = [
        frechet(of_frames(bench, [blurred(f, sigma) for f in films])[0], real)
        for sigma in (0.7, 1.5, 3, 6)
    ]
    assert found == sorted(found), found
    assert found[0] > 1e-6


def test_frozen_and_shuffled_frames_are_far_from_real(bench, films, real):
    """A distance, or a consistency, over frames that does not see their order."""
    order = np.random.default_rng(2).permutation(len(films[0].pixels))
    real, calm = real
    mixed, _ = of_frames(bench, [replace(f, pixels=f.pixels[order]) for f in films])
    still = [replace(f, pixels=np.repeat(f.pixels[:1], len(f.pixels), axis=0)) for f in films]
    frozen, same = of_frames(bench, still)
    step = real.shape[1] // 2
    assert frozen[:, step:].max() < 1e-5
    assert mixed[:, step:].mean() > 1.05 * real[:, step:].mean()
    assert min(frechet(mixed, real), frechet(frozen, real)) > 0.01
    assert same == pytest.approx(1, abs=1e-5)
    torn = films[0].pixels.copy()
    torn[2::4] = 255 - torn[2::4]  # every second frame that is looked at
    assert of_frames(bench, [replace(films[0], pixels=torn)])[1] < calm < same


def test_the_tagger_is_the_judges_own(bench, world):
    """Another output taken for the classes, or features that do not lead to them."""
    film = world[0]
    rows, logits = Tagger()(film.sound)
    known = bench.tools.events(film.sound)
    assert rows.shape == (len(known.patches), 1024)
    assert rows.min() >= 0  # behind a ReLU
    assert rows.max() > 0
    again = np.log(known.patches / (1 - known.patches)).mean(axis=0)
    assert logits == pytest.approx(again, abs=1e-3)


def test_noise_moves_sounds_away(bench, world):
    """Distance and divergence of sound that do not grow as noise does."""
    films = world
    real, truth = of_sound(bench, films)
    distances, divergences = [], []
    for level in (0.003, 0.03, 0.3):
        rows, logits = of_sound(bench, [hissing(f, level) for f in films])
        distances.append(frechet(rows, real))
        pairs = zip(logits, truth, strict=True)
        divergences.append(np.mean([divergence(made, own) for made, own in pairs]))
    assert distances == sorted(distances), distances
    assert divergences == sorted(divergences), divergences


def test_swapped_sounds_are_of_the_same_kind_but_not_of_the_pair(bench, world):
    """A divergence that is not of pairs; a distance of sets that is."""
    rows, logits = of_sound(bench, world)
    swapped = logits[1:] + logits[:1]
    own = np.mean([divergence(a, a) for a in logits])
    other = np.mean([divergence(a, b) for a, b in zip(swapped, logits, strict=True)])
    assert own < 1e-6 < other
    order = np.random.default_rng(0).permutation(len(rows))
    assert frechet(rows[order], rows) < 1e-6
    assert 1 <= inception(np.stack(logits)) < len(logits)


def test_a_prompt_that_names_the_sound_is_nearer(bench, world):
    """ConSE's vector of something else, or the prompt's."""
    from curation.judges.evidence import Evidence  # noqa: PLC0415

    rng = np.random.default_rng(0)
    siren = np.sin(np.cumsum(2 * np.pi * (900 + 500 * np.sin(np.arange(48_000) / 4000)) / 16_000))
    film = replace(world[0], sound=(0.3 * siren).astype(np.float32) + rng.normal(0, 1e-3, 48_000))
    found = []
    for prompt in ("a loud siren alarm sounds", "a man reads quietly from a book"):
        asked = replace(film, clip=replace(film.clip, prompt=prompt))
        evidence = Evidence(asked.seen(), bench.tools, bench.config)
        found.append(text_sound(bench, asked, evidence)["text_sound"])
    assert found[0] > found[1] + 0.1, found


def test_without_a_model_scores_are_null_and_it_is_said(world, tmp_path, monkeypatch):
    """A pass, or an end of all, for a network that is not here."""
    from curation.assets import MissingModelError  # noqa: PLC0415

    with MediaReader() as reader:
        bench = Bench(JudgeConfig(), reader)

        def missing(*_):
            raise MissingModelError("not here")

        monkeypatch.setattr(Tools, "efficientnet", property(missing))
        features = Features()
        assert bench.ask("frames", lambda: frames(bench, world[0], features)) == {}
        assert bench.missing == {"frames": "not here"}
