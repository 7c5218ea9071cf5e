"""A clip as a rendition sees it: what lies between black bars, and nothing of the bars."""

import cv2
import numpy as np
import pytest

from curation.captions.request import look
from curation.film import measure_film
from curation.film_config import FilmConfig
from curation.media import MediaReader
from curation.media_write import write_clip
from curation.rendition import picture, sides, sound
from curation.scores import CROP, crop_of

FPS, SECONDS, H, W = 8, 3, 240, 320
LOW = 24  # levels: every point of the film's own picture is above


def scene():
    """Waves that travel: no row, column or frame is like another, and all lie above LOW."""
    y, x = np.mgrid[:H, :W]
    frames = []
    for t in range(FPS * SECONDS):
        wave = np.sin(x / 17 + t / 3) + np.sin(y / 13 - t / 4) + np.sin((x + y) / 29)
        level = 128 + 30 * wave
        frames.append(np.stack([level, 230 - level * 0.7, level * 0.6 + 50], -1))
    return np.array(frames).clip(LOW, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def reader():
    with MediaReader() as reader:
        yield reader


def write(path, pixels):
    write_clip(path, pixels, FPS, np.zeros((1, 16_000 * SECONDS), np.float32), 16_000, crf=4)
    return str(path)


def crop_by_scan(reader, path):
    """What the scan finds of the bars of the whole film."""
    film = measure_film(
        reader, path, "s", FilmConfig(shots="stride"), lambda *_: [(0.0, 17)], FPS, None
    )
    return crop_of(film.scores[0])


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize(
    ("bars", "size"),
    [((34, 34, 0, 0), (64, 96)), ((0, 0, 41, 41), (60, 80)), ((20, 26, 30, 22), (96, 128))],
)
def test_bars_are_cut_off_and_the_picture_stays(reader, tmp_path, bars, size):
    """Black rows in latents, a crop that takes half of the picture along, or one that shows other
    parts of it than the film would without its bars."""
    top, bottom, left, right = bars
    pixels = scene()
    inside = pixels[:, top : H - bottom, left : W - right]
    barred = np.zeros_like(pixels)
    barred[:, top : H - bottom, left : W - right] = inside
    path = write(tmp_path / "barred.mp4", barred)
    by_hand = write(tmp_path / "hand.mp4", inside)
    crop = crop_by_scan(reader, path)
    assert crop is not None
    for share, rows, whole in zip(crop, bars, (H, H, W, W), strict=True):
        assert rows <= share * whole <= rows + (2 * whole / 96 if rows else 0)
    shape = (9, *size)
    shown = picture(reader, path, 0.2, shape, FPS, crop)
    wanted = picture(reader, by_hand, 0.2, shape, FPS)
    assert shown.shape == (9, *size, 3)
    assert shown.max(-1).min() > LOW, "a point as dark as a bar"
    assert psnr(shown, wanted) > 30
    assert psnr(picture(reader, path, 0.2, shape, FPS), wanted) < 15, "nothing was planted"
    seen = look(reader, path, {"start_s": 0.0, "end_s": 2.0, **as_scores(crop)}, 1, 64, hear=False)
    assert jpeg(seen.frames[0]).max(-1).min() > LOW - 8


def as_scores(crop):
    return dict(zip(CROP, crop, strict=True))


def jpeg(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_a_film_without_bars_has_no_crop(reader, tmp_path):
    """Every film of a data set encoded anew, or cut a row smaller, because some have bars."""
    path = write(tmp_path / "plain.mp4", scene())
    assert crop_by_scan(reader, path) is None


def test_sides_of_any_layout():
    """Catches a voice in the centre channel that is lost, and the wrong side's surround."""
    mono, left, right = np.ones((1, 4)), np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])
    assert sides(mono).tolist() == [[1.0] * 4] * 2
    assert sides(left) is left
    names = ("front left", "front right", "centre", "low", "behind left", "behind right")
    wanted = (left, right, (left + right) * 0.5**0.5, 0 * left, left * 0.5**0.5, right * 0.5**0.5)
    for number, (name, both) in enumerate(zip(names, wanted, strict=True)):
        one = np.zeros((6, 1))
        one[number] = 1
        np.testing.assert_allclose(sides(one), both, err_msg=name)
    assert sides(np.array([[3.0], [0.0], [0.0]])).tolist() == [[1.0], [1.0]]


def test_stereo_keeps_its_sides(reader, tmp_path):
    """Catches sides that are swapped or mixed where two channels are asked for."""
    clock = np.arange(48_000 * SECONDS) / 48_000
    tones = np.stack([np.sin(2 * np.pi * f * clock) for f in (500, 2_000)]).astype(np.float32)
    path = tmp_path / "stereo.mp4"
    write_clip(path, scene(), FPS, 0.5 * tones, 48_000, crf=4)
    both = sound(reader, str(path), 1.0, 16_000, 16_000, channels=2)
    loudest = np.abs(np.fft.rfft(both)).argmax(axis=1)
    assert (both.shape, loudest.tolist()) == ((2, 16_000), [500, 2_000])
    one = sound(reader, str(path), 1.0, 16_000, 16_000)
    np.testing.assert_allclose(one[0], both.mean(0), atol=1e-5)
