"""Measures of a still: they must move with what they are named after."""

import cv2
import numpy as np
import pytest

from curation.judges.quality import asymmetric_fit, colourfulness, detail, features


def picture(seed=0):
    """Blobs of many sizes: something like the statistics of a photograph."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(size=(n, n, 3)), (256, 256), interpolation=cv2.INTER_CUBIC) / n**0.5
        for n in (4, 8, 16, 32, 64, 128)
    ]
    whole = sum(layers)
    return np.clip(128 + 60 * whole / whole.std(), 0, 255).astype(np.uint8)


def test_blur_lowers_detail():
    """A detail score that rewards brightness or size."""
    sharp = picture()
    assert detail(cv2.GaussianBlur(sharp, (0, 0), 3)) < 0.1 * detail(sharp)


def test_grey_has_no_colour():
    """A colourful grey picture, or a saturated one that is pale."""
    grey = np.full((32, 32, 3), 90, np.uint8)
    red = grey * np.array([2, 0, 0], np.uint8)
    assert colourfulness(grey) == 0
    assert colourfulness(red) > 50  # Hasler & Süsstrunk: above 45 is quite colourful


@pytest.mark.parametrize("shape", [1.0, 2.0])
def test_the_fit_finds_the_shape(shape):
    """Laplace (1) taken for Gauss (2), or a lean to the wrong side."""
    rng = np.random.default_rng(1)
    values = rng.laplace(size=200_000) if shape == 1 else rng.normal(size=200_000)
    found, mean, left, right = asymmetric_fit(values)
    assert found == pytest.approx(shape, abs=0.05)
    assert left == pytest.approx(right, rel=0.05)
    _, leaning, left, right = asymmetric_fit(np.where(values > 0, 2 * values, values))
    assert right > 3 * left
    assert leaning > abs(mean) + 0.1


def test_noise_and_blur_move_the_features_apart():
    """Features that do not see what they are for."""
    grey = cv2.cvtColor(picture(), cv2.COLOR_RGB2GRAY) / 255
    noisy = np.clip(grey + np.random.default_rng(0).normal(0, 0.1, grey.shape), 0, 1)
    blurred = cv2.GaussianBlur(grey, (0, 0), 3)
    clean, noise, blur = features(grey), features(noisy), features(blurred)
    assert len(clean) == 36
    assert blur[1] < clean[1] < noise[1]  # variance of normalised luma
