"""Logos and insets over pictures that move, and scenes that only look like them."""

import numpy as np
import pytest

from curation.overlay import overlay_scores

H, W = 96, 144


def scene(seed):
    """A wide smooth texture to pan over, uint8 [H, 3W]."""
    rng = np.random.default_rng(seed)
    knots = rng.integers(40, 200, (H // 12, 3 * W // 12))
    return np.roll(np.kron(knots, np.ones((12, 12))), 5 * seed, (0, 1)).astype(np.uint8)


def pan(seed=0, frames=8, step=9):
    wide = scene(seed)
    return [wide[:, step * i : step * i + W].copy() for i in range(frames)]


def still(seed=0, frames=8):
    """A fixed camera in front of which a block moves."""
    out = [scene(seed)[:, :W].copy() for _ in range(frames)]
    for i, luma in enumerate(out):
        luma[30:50, 10 + 12 * i : 26 + 12 * i] = 230
    return out


def stamped(lumas):
    out = [luma.copy() for luma in lumas]
    for luma in out:
        patch = luma[8:26, 116:134].astype(float)
        patch[2:16, 2:5] = patch[2:16, 13:16] = patch[2:5, 2:16] = patch[13:16, 2:16] = 235
        luma[8:26, 116:134] = patch.astype(np.uint8)
    return out


def test_a_logo_over_a_pan_is_found_and_a_pan_has_none():
    """A logo that is missed, or edges of the scene that pass for one."""
    assert overlay_scores(pan(), [], 1.0)["logo_share"] == 0
    share = overlay_scores(stamped(pan()), [], 1.0)["logo_share"]
    assert share == pytest.approx(18 * 18 / (H * W), rel=0.5)


def test_a_fixed_camera_says_nothing_until_another_shot_speaks():
    """A wall that passes for a logo: null alone, 0 or a logo beside another shot."""
    assert overlay_scores(still(), [], 0.0)["logo_share"] is None
    assert overlay_scores(still(), still(1), 0.0)["logo_share"] == 0
    assert overlay_scores(stamped(still()), stamped(still(1)), 0.0)["logo_share"] > 0.01
    assert overlay_scores(stamped(still()), still(1), 0.0)["logo_share"] == 0
    assert overlay_scores(stamped(still()), still(1)[:1], 0.0)["logo_share"] == 0, "outvoted"


def test_a_horizon_is_no_logo():
    """A floor line that stays while the camera pans along it."""
    lumas = pan()
    for luma in lumas:
        luma[80:] //= 2
    assert overlay_scores(lumas, [], 1.0)["logo_share"] == 0


def test_an_inset_is_a_rectangle_that_holds_all_motion():
    """A film in a page that is missed, or a scene with straight lines that is one."""
    page = []
    for luma in pan():
        frame = np.full((H, W), 235, np.uint8)
        frame[10:14, 10:120] = 150
        frame[24:84, 30:120] = luma[24:84, 30:120]
        page.append(frame)
    share = overlay_scores(page, [], 0.0)["inset_share"]
    assert share == pytest.approx(60 * 90 / (H * W), rel=0.1)
    assert overlay_scores(still(), [], 0.0)["inset_share"] == 0
    assert overlay_scores(pan(), [], 1.0)["inset_share"] == 0
    page[3][60:90, 2:28] = 20  # something moves on the page too
    assert overlay_scores(page, [], 0.0)["inset_share"] == 0


def test_a_page_full_of_lines_hides_no_inset():
    """Lines of text that crowd out the edge of the film in the page, so that it passes for one."""
    page = []
    for luma in pan():
        frame = np.full((H, W), 235, np.uint8)
        for row in range(4, 92, 11):
            frame[row : row + 2, 6:138] = 150
        frame[38:86, 80:136] = luma[38:86, 80:136]
        page.append(frame)
    found = overlay_scores(page, still(1), 0.0)
    assert found["inset_share"] == pytest.approx(48 * 56 / (H * W), rel=0.1)
    assert found["logo_share"] is None


def test_lettering_over_stripes_and_a_floor_is_no_inset():
    """A strip of letters, a floor and two stripes of a wall that together enclose all motion."""
    lumas = [np.full((H, W), 120, np.uint8) for _ in range(8)]
    for i, luma in enumerate(lumas):
        luma[:84, 100:134] = luma[24:84, 6:40] = 80  # letters hide the upper end of one
        luma[84:] = 40
        luma[60:80, 30 + 6 * i : 46 + 6 * i] = 230
        luma[21:24, 4:136] = 250
        luma[10:21, 10:130:6] = 250
    assert overlay_scores(lumas, [], 0.0)["inset_share"] == 0


def test_a_band_from_edge_to_edge_is_no_inset():
    """A strip of letters and a floor over a wall of stripes: lines that only the picture ends."""
    lumas = [np.full((H, W), 120, np.uint8) for _ in range(8)]
    for i, luma in enumerate(lumas):
        luma[84:] = luma[12:25] = 30
        luma[:, 1:143:20] += 40
        luma[60:80, 30 + 6 * i : 46 + 6 * i] = 230
    assert overlay_scores(lumas, [], 0.0)["inset_share"] == 0


def test_too_little_to_see_is_null():
    """A verdict from one picture, or about motion that there is not."""
    assert overlay_scores(pan()[:3], [], 1.0) == {"logo_share": None, "inset_share": None}
    assert overlay_scores([scene(0)[:, :W]] * 6, [], 0.0)["inset_share"] is None
