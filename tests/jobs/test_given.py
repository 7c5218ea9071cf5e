"""What a request's files give, and that it comes back unchanged."""

import cv2
import numpy as np
import pytest
import torch

from curation.files import sha256_file
from curation.media_write import write_clip
from jobs.clip_request import ClipRequest, Given
from jobs.clips import Film
from jobs.config import RecipeError
from jobs.given import Known, filled, known, latent_frames, placed
from jobs.paste import pasted, pool_heard
from model.geometry import AudioSpec, Geometry

F, H, W, FPS = 9, 32, 48, 8.0
GEOMETRY = Geometry(F, H, W, FPS)
RATE = GEOMETRY.audio.sample_rate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A film whose brightness tells its frame, with a tone that tells its time, and a mask."""
    folder = tmp_path_factory.mktemp("given")
    levels = np.linspace(20, 230, 24).astype(np.uint8)
    pixels = np.broadcast_to(levels[:, None, None, None], (24, H, W, 3)).copy()
    t = np.arange(3 * RATE) / RATE
    samples = (0.1 * (1 + np.floor(t)) * np.sin(2 * np.pi * 500 * t)).astype(np.float32)[None]
    write_clip(folder / "film.mp4", pixels, FPS, samples, RATE)
    write_clip(folder / "mute.mp4", pixels, FPS)
    mask = np.zeros((H, W, 3), np.uint8)
    mask[:16, :24] = 255
    cv2.imwrite(str(folder / "mask.png"), mask)
    cv2.imwrite(str(folder / "grey.png"), np.full((H, W, 3), 77, np.uint8))
    return folder


def request(*given, **fields):
    base = {"prompt": "x", "seed": 0, "weights": "", "frames": F, "height": H, "width": W}
    base |= {"fps": FPS, "steps": 2, "guidance_video": 1, "guidance_audio": 1, "shift": 1}
    return ClipRequest(**base, device="cpu", threads=1, given=given, **fields)


def given(folder, name, role, **facts):
    path = folder / name
    return Given(role=role, path=path, sha256=sha256_file(path), field=role, **facts)


def told(*args, **fields):
    return known(request(*args, **fields), GEOMETRY, channels=1)


def test_an_end_and_a_beginning_are_where_they_belong(folder):
    """Catches an extension from the wrong end, or sound that is not its picture's."""
    end = told(given(folder, "film.mp4", "clip", frames=5, start=None), keep=5)
    assert end.keep[:5].all()
    assert not end.keep[5:].any()
    assert np.diff(end.pixels[:5, 0, 0, 0].astype(int)).min() > 4
    assert end.pixels[4].mean() > 220
    assert end.heard == (0, 5 / FPS)
    assert np.abs(end.samples[0, : int(0.6 * RATE)]).max() == pytest.approx(0.3, abs=0.05)
    before = told(given(folder, "film.mp4", "clip", at=5, frames=4, start=0.0), keep=4)
    assert not before.keep[:5].any()
    assert before.keep[5:].all()
    assert before.pixels[5].mean() < 30
    assert before.heard == (5 / FPS, 9 / FPS)
    late = before.samples[0, int(0.65 * RATE) :]
    assert np.abs(late).max() == pytest.approx(0.1, abs=0.03)


def test_a_picture_holds_for_its_latent_and_is_put_back_once(folder):
    """Catches a keyframe that half a latent knows, or a film that stands still at it."""
    found = told(given(folder, "grey.png", "frame", at=6))
    assert latent_frames(6, GEOMETRY) == slice(5, 9)
    assert found.keep.any(axis=(1, 2)).tolist() == [False] * 5 + [True] * 4
    assert found.paste.any(axis=(1, 2)).tolist() == [False] * 6 + [True] + [False] * 2
    assert (found.pixels == 77).all(), "what is not known repeats what is"
    assert found.samples is None


def test_masks_boxes_and_spans_say_what_is_made_anew(folder):
    """Catches an edit of the inverse region, or at the wrong time."""
    source = given(folder, "film.mp4", "source", frames=F, start=0.5)
    by_mask = told(source, given(folder, "mask.png", "mask", frames=F))
    assert not by_mask.keep[:, :16, :24].any()
    assert by_mask.keep[:, 16:].all()
    assert by_mask.keep[:, :, 24:].all()
    assert by_mask.pixels[0].mean() == pytest.approx(20 + 4 * 210 / 23, abs=4)
    by_box = told(source, box=(0.5, 0, 1, 0.5), span=(0.25, 0.5))
    assert not by_box.keep[2:4, :16, 24:].any()
    assert by_box.keep[[0, 1, 4, 5, 6, 7, 8]].all()
    whole = told(source, make="sound")
    assert whole.keep.all()
    with pytest.raises(RecipeError, match="nothing to be made anew"):
        told(source, box=(0, 0, 1, 1), span=(5, 6))


def test_outpainting_shrinks_the_source_into_its_box():
    """Catches a frame that is cut instead of shrunk, or kept where it was drawn out."""
    pixels = np.zeros((2, H, W, 3), np.uint8)
    pixels[:, :, W // 2 :] = 200
    out, keep = placed(pixels, (0.25, 0.25, 0.75, 0.75))
    assert keep[0].sum() == 16 * 24
    assert keep[0, 8:24, 12:36].all()
    assert out[0, 10, 14].max() == 0
    assert out[0, 10, 34].min() == 200
    assert out[0, 0, 47].min() == 200, "edges are drawn out"


def test_what_is_kept_comes_back_unchanged(folder):
    """Catches a source that went through the autoencoder, or a click where sound begins."""
    end = told(given(folder, "film.mp4", "clip", frames=5, start=None), keep=5)
    noise = np.random.default_rng(0).integers(0, 255, (F, H, W, 3)).astype(np.uint8)
    made = Film(noise, np.zeros((1, GEOMETRY.samples), np.float32), RATE, GEOMETRY)
    film = pasted(made, end)
    assert np.array_equal(film.pixels[:5], end.pixels[:5])
    assert np.array_equal(film.pixels[5:], noise[5:])
    seam = int(5 / FPS * RATE)
    inside = seam - int(0.011 * RATE)
    assert np.array_equal(film.samples[:, :inside], end.samples[:, :inside])
    assert not film.samples[:, seam:].any()


def test_a_latent_of_sound_is_kept_when_all_of_it_is_heard():
    """Catches a seam that is heard half, or sound that is given and made at its end."""
    mask = pool_heard((0, 5 / FPS), GEOMETRY)
    hop = GEOMETRY.audio.hop / RATE
    assert int(mask.sum()) == int(5 / FPS / hop)
    assert mask[0, 0] == 1
    assert pool_heard((0, GEOMETRY.seconds), GEOMETRY).all()
    assert torch.equal(pool_heard((0.1, 0.15), GEOMETRY), torch.zeros_like(mask))
    # LTX-2's latents end at 10, 50, 90 ... ms: of 0.1 s three are kept, the first among them
    causal = Geometry(9, 32, 32, FPS, audio=AudioSpec(hop=640, lead=480))
    assert pool_heard((0, 0.1), causal)[0, :4].tolist() == [1, 1, 1, 0]


def test_files_that_cannot_give_it_are_named(folder):
    """Catches a trace for a film that is short, mute, or another one than it was."""
    with pytest.raises(RecipeError, match=r"has no sound"):
        told(given(folder, "mute.mp4", "sound", frames=F))
    with pytest.raises(RecipeError, match=r"has 3\.00 s, 3\.62 s are needed"):
        told(given(folder, "film.mp4", "source", frames=F, start=2.5), box=(0, 0, 1, 1))
    other = given(folder, "film.mp4", "source", frames=F).model_copy(update={"sha256": "0"})
    with pytest.raises(RecipeError, match="is not the file it was"):
        told(other)


def test_frames_without_anything_repeat_the_nearest():
    """Catches a cut to black that the encoder carries into what is kept."""
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    keep = np.array([0, 1, 0, 0, 1], bool)[:, None, None]
    assert filled(pixels, keep)[:, 0, 0, 0].tolist() == [1, 1, 1, 4, 4]
    assert Known(pixels, keep, keep, None, None).heard is None
