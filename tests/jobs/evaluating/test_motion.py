"""Frames in time: each measure moves the right way under noise, freezing, shuffling and blur."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from jobs.evaluating.motion import between, consistency, dynamic, flickering, smoothness


def noisy(pixels, sigma):
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def frozen(pixels):
    return np.repeat(pixels[:1], len(pixels), axis=0)


def shuffled(pixels):
    return pixels[np.random.default_rng(1).permutation(len(pixels))]


def falls(values):
    return all(a > b for a, b in pairwise(values))


def test_flicker_and_smoothness_fall_with_noise(world):
    """Noise that changes from frame to frame and is not seen."""
    for measure in (flickering, smoothness):
        found = [measure(noisy(world[0].pixels, sigma)) for sigma in (0, 4, 12, 30)]
        assert falls(found), (measure, found)


def test_a_frozen_clip_does_not_flicker_and_does_not_move(world):
    """Formulae off by a frame or a scale."""
    pixels = frozen(world[0].pixels)
    assert flickering(pixels) == 1
    assert smoothness(pixels) == 1
    assert dynamic(pixels, 16) == 0


def test_shuffled_frames_are_less_smooth(world):
    """A measure blind to the order of frames."""
    for film in world[:3]:
        assert smoothness(film.pixels) > smoothness(shuffled(film.pixels))
        assert flickering(film.pixels) > flickering(shuffled(film.pixels))


def test_the_picture_between_two_is_half_way():
    """A warp in the wrong direction, which interpolates to the picture before or after."""
    scene = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (96, 140, 3)).astype(np.uint8), (0, 0), 3
    )
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
    a, half, b = (scene[:, x : x + 96] for x in (12, 15, 18))
    error = cv2.absdiff(between(a, b), half)[16:-16, 16:-16].mean()
    assert error < 0.3 * cv2.absdiff(a, half)[16:-16, 16:-16].mean()


def moving(speed, frames=16):
    scene = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (256, 512, 3)).astype(np.uint8), (0, 0), 6
    )
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
    return np.stack([scene[:, round(speed * k) : round(speed * k) + 256] for k in range(frames)])


def test_dynamic_is_above_six_pixels_at_eight_frames_a_second():
    """VBench's threshold: pixels at 256 of a pair at 8 frames a second."""
    assert dynamic(moving(4), 8) == 0
    assert dynamic(moving(9), 8) == 1
    # at 16 frames a second every second frame is looked at: twice the way
    assert dynamic(moving(4), 16) == 1


def test_consistency_is_the_mean_of_first_and_before():
    """A mean over the wrong frames, or a negative cosine that counts."""
    features = np.array([[1.0, 0], [0, 2.0], [0, 3.0], [-1, 0]])
    assert consistency(features) == pytest.approx((0 + 0 + 1 + 0 + 0 + 0) / 2 / 3)
    assert consistency(features[:1]) is None


def test_too_few_frames_are_null(world):
    """A number of nothing."""
    pixels = world[0].pixels
    assert flickering(pixels[:1]) is None
    assert smoothness(pixels[:2]) is None
    assert dynamic(pixels[:2], 16) is None
