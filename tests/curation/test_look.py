"""Full-size scores on pictures whose blur, noise, blocks and lettering are known."""

import cv2
import numpy as np
import pytest

from curation.look import blocking, blur, gradient, look, noise, text_share


def picture(seed=0, height=180, width=320):
    """Ragged flat patches with sharp edges: an image of no grid, grey levels 60 to 200."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width), 120, np.uint8)
    for _ in range(60):
        middle = rng.uniform((0, 0), (width, height))
        turns = np.sort(rng.uniform(0, 2 * np.pi, 5))
        radius = rng.uniform(8, 40, 5)
        corners = middle + np.stack([np.cos(turns), np.sin(turns)], axis=1) * radius[:, None]
        level = int(rng.integers(60, 200))
        cv2.fillPoly(image, [np.round(corners).astype(np.int32)], level, lineType=cv2.LINE_AA)
    return image


@pytest.mark.parametrize("sigma", [1.5, 2.5, 4.0])
def test_blur_is_measured_in_pixels(sigma):
    """A blur score that measures how much there is to see instead of how sharp it is."""
    image = picture().astype(np.float32)
    assert blur(image) < 1.0
    assert blur(cv2.GaussianBlur(image, (0, 0), sigma)) == pytest.approx(sigma, rel=0.25)
    faint = 120 + 0.3 * (image - 120)
    assert blur(faint) == pytest.approx(blur(image), rel=0.1)
    assert blur(np.full((90, 160), 100, np.float32)) is None


def test_noise_is_measured_in_levels_beside_texture():
    """Edges that count as noise, or noise that hides beside them."""
    rng = np.random.default_rng(1)
    image = picture().astype(np.float32)
    assert noise(image) < 0.5
    for sigma in (4.0, 12.0):
        grain = rng.normal(0, sigma, image.shape).astype(np.float32)
        assert noise(image + grain) == pytest.approx(sigma, rel=0.2)
    assert noise(np.zeros((90, 160), np.float32)) is None  # clipped: nothing can be said


def test_blocks_are_told_from_edges_stripes_and_noise():
    """A grid found in any picture with straight lines, or one that a crop has moved and is missed.

    Stripes of 8 pixels are the grid's worst impostor.
    """
    image = picture()
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 7])
    coded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(np.float32)
    assert blocking(coded) > 0.5
    assert blocking(coded[3:, 5:]) > 0.42
    rng = np.random.default_rng(2)
    stripes = image + 30 * (np.arange(320) // 8 % 2)
    for clean in (image, stripes, image + rng.normal(0, 10, image.shape)):
        assert blocking(clean.astype(np.float32)) < 0.15
    assert blocking(np.full((90, 160), 100, np.float32)) is None


def test_lettering_is_found_and_texture_is_not():
    """Subtitles that are missed, or leaves that are read."""
    image = picture()
    assert text_share(image) == 0
    cv2.putText(image, "Subtitles here", (40, 160), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 4)
    cv2.putText(image, "Subtitles here", (40, 160), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    assert 0.02 < text_share(image) < 0.15


def test_where_a_picture_lies_in_memory_tells_in_nothing():
    """Scores that differ from run to run: IPP rounds the lengths of vectors by their addresses."""
    rng = np.random.default_rng(0)
    luma = rng.uniform(0, 255, (96, 128)).astype(np.float32)
    kept, found, places = [], set(), set()
    for number in range(64):
        kept += [np.empty(16 * number + 1_000, np.uint8), gradient(luma)]
        found.add(kept[-1].tobytes())
        places.add(kept[-1].ctypes.data % 64)
    assert len(places) > 1, "nothing was tried"
    assert len(found) == 1


def test_large_pictures_cost_no_more_than_their_centre():
    """A measure whose cost grows with 4K: only the centre is read, and the numbers stay."""
    tile = picture()
    large = np.tile(tile, (8, 8))[..., None].repeat(3, axis=2)
    found = look(large)
    assert found["blur_px"] == pytest.approx(blur(tile.astype(np.float32)), rel=0.1)
    assert found["blocking"] < 0.15
