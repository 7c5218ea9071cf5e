"""Picture scores on pictures made for them."""

import numpy as np

from curation.likeness import clip_hash, find_repeats, frame_hash
from curation.picture import picture_scores
from curation.sight import Sight

H, W, FPS = 64, 96, 16


def moving_ball(frames=32, step=2.0, colour=(220, 60, 60), wall=(90, 90, 90)):
    pixels = np.full((frames, H, W, 3), wall, np.uint8)
    y, x = np.mgrid[:H, :W]
    for i, pixel in enumerate(pixels):
        pixel[(x - 12 - step * i) ** 2 + (y - 32) ** 2 < 100] = colour
    return pixels


def scores(pixels, fps=FPS):
    sight = Sight()
    sight.feed(np.arange(len(pixels)) / fps, pixels)
    return picture_scores(sight.track(), *pixels.shape[1:3])


def test_frozen_share_counts_repeated_frames():
    """A frozen picture that passes for a film."""
    pixels = moving_ball()
    assert scores(pixels)["frozen_share"] < 0.05
    pixels[16:] = pixels[16]
    assert abs(scores(pixels)["frozen_share"] - 0.5) < 0.05


def test_motion_is_seen_between_colours_of_one_brightness():
    """Flow on luma, which is blind to a red ball on a wall that is as bright."""
    pixels = moving_ball(colour=(200, 40, 90), wall=(93, 93, 93))  # luma 93.6 and 93
    assert scores(pixels)["frozen_share"] < 0.05
    assert scores(pixels)["motion"] > 0.01


def test_camera_and_subject_are_told_apart():
    """A pan that counts as a moving subject, or a ball that counts as a moving camera."""
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(30, 220, (H // 8, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    pan = np.stack([wide[:, 2 * i : 2 * i + W] for i in range(32)])
    ball, camera = scores(moving_ball()), scores(pan)
    assert camera["camera_motion"] > 10 * ball["camera_motion"]
    assert abs(camera["camera_motion"] - 2 / H * FPS) < 0.25 * 2 / H * FPS


def test_bars_are_found_and_a_dark_scene_has_none():
    """Letterbox that stays, and night scenes that go."""
    pixels = moving_ball(wall=(120, 110, 100))
    pixels[:, :9] = pixels[:, -9:] = 0
    assert abs(scores(pixels)["bars"] - 18 / 64) < 0.02
    night = moving_ball(wall=(30, 30, 30))
    night[:, :20] = 0
    assert scores(night)["bars"] == 0


def test_black_share_and_brightness():
    """Fades to black that count as content."""
    pixels = moving_ball()
    pixels[24:] = 3
    assert abs(scores(pixels)["black_share"] - 0.25) < 0.02


def test_scores_do_not_depend_on_the_pieces_they_were_read_in():
    """State lost between two reads of one film."""
    pixels, times = moving_ball(), np.arange(32) / FPS
    sight = Sight()
    for i in range(0, 32, 5):
        sight.feed(times[i : i + 5], pixels[i : i + 5])
    assert picture_scores(sight.track(), H, W) == scores(pixels)


def test_repeats_survive_bad_coding_and_differ_for_others():
    """A re-encode that passes as new, or a clip of other brightness that is thrown away."""
    rng = np.random.default_rng(1)

    def noise(seed):
        r = np.random.default_rng(seed)
        return np.kron(r.integers(0, 255, (8, 8, 8)), np.ones((1, 8, 12))).astype(np.uint8)

    films = [noise(0), noise(1), np.clip(noise(0) + rng.normal(0, 8, (8, 64, 96)), 0, 255)]
    hashes = [
        clip_hash(np.array([frame_hash(f.astype(np.uint8)) for f in film], np.uint64))
        for film in films
    ]
    levels = np.array([[0.5, 0.3], [0.5, 0.3], [0.504, 0.303], [0.5, 0.3]])
    assert find_repeats([*hashes, None], levels, [0, 1, 2, 3]) == {2: 0}
    assert find_repeats([*hashes, None], levels, [2, 1, 0, 3]) == {0: 2}
    levels[2, 0] = 0.53
    assert find_repeats([*hashes, None], levels, [0, 1, 2, 3]) == {}
