"""Files of a prompt's tags become latents before the clip."""

import cv2
import numpy as np
import pytest
import torch

from curation.files import sha256_file
from curation.media_write import write_clip
from jobs.clip_request import ClipRequest, Given
from jobs.clips import Decoders, encode_frames
from jobs.config import RecipeError
from jobs.paste import encode_sound
from jobs.reference_files import bordered, fitted, inside, references
from model.geometry import Geometry
from model.vae_audio import AudioVAE, AudioVAEConfig
from model.vae_video import VideoVAE, VideoVAEConfig

H, W, FPS, RATE = 16, 32, 8.0, 16_000


@pytest.fixture(scope="module")
def decoders():
    """Untrained autoencoders: what they make of a file depends on the file all the same."""
    torch.manual_seed(0)
    made = VideoVAE(VideoVAEConfig()), AudioVAE(AudioVAEConfig())
    for vae in made:
        vae.mean_stat.fill_(0)
        vae.std_stat.fill_(1)
        vae.eval()
    return Decoders(*made)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")
    pixels = np.full((12, 48, 48, 3), 200, np.uint8)
    tone = (0.3 * np.sin(np.arange(24_000) / 20)).astype(np.float32)[None]
    write_clip(folder / "film.mp4", pixels, FPS, tone, RATE)
    write_clip(folder / "mute.mp4", pixels[:2], FPS)
    cv2.imwrite(str(folder / "tall.png"), np.full((64, 16, 3), 255, np.uint8))
    return folder


def made(decoders, *given):
    geometry = Geometry(9, H, W, FPS, decoders.video.spec, decoders.audio.spec)
    base = {"prompt": "x", "seed": 0, "weights": "", "frames": 9, "height": H, "width": W}
    base |= {"fps": FPS, "steps": 2, "guidance_video": 1, "guidance_audio": 1, "shift": 1}
    asked = ClipRequest(**base, device="cpu", threads=1, references=given)
    return references(asked, geometry, decoders)


def given(folder, tag, name, frames=9, start=0.0):
    path = folder / name
    facts = {"role": tag.split("_")[0].split("-")[0], "field": f"references.{tag}"}
    return Given(path=path, sha256=sha256_file(path), frames=frames, start=start, **facts)


def test_files_become_references(decoders, folder):
    """Catches a film without its sound, a sound without its length, a picture that is a clip."""
    image, film, voice, short = made(
        decoders,
        given(folder, "image_1", "tall.png"),
        given(folder, "video_1", "film.mp4"),
        given(folder, "Audio-0", "film.mp4", frames=5),
        given(folder, "video_2", "film.mp4", start=1.0),
    )
    assert (image.geometry.frames, image.audio) == (1, None)
    white = fitted(np.full((64, 16, 3), 255, np.uint8), H, W)
    assert torch.equal(image.video, encode_frames(decoders.video, white[None]))
    assert film.geometry.frames == 9
    square = bordered(np.full((9, 16, 16, 3), 200, np.uint8), H, W)
    torch.testing.assert_close(
        film.video, encode_frames(decoders.video, square), atol=0.1, rtol=0.1
    )
    assert film.audio is not None
    assert (voice.video, voice.geometry.frames) == (None, 5)
    silence = encode_sound(decoders, np.zeros((1, voice.geometry.samples), np.float32))
    assert not torch.allclose(voice.audio, silence, atol=1e-3)
    assert short.geometry.frames == 1, "of half a second only a frame is whole latents"


def test_a_picture_is_never_cut():
    """Catches a portrait without its head in a wide clip."""
    assert inside(64, 16, H, W) == (16, 4)
    assert inside(16, 64, H, W) == (8, 32)
    shown = fitted(np.full((64, 16, 3), 255, np.uint8), H, W)
    assert shown.shape == (H, W, 3)
    assert (shown[:, 14:18] == 255).all()
    assert not shown[:, :14].any()
    assert not shown[:, 18:].any()


@pytest.mark.parametrize(
    ("tag", "name", "start", "message"),
    [
        ("Audio-0", "mute.mp4", 0.0, r"references\.Audio-0: .*has no sound"),
        ("Audio-0", "tall.png", 0.0, r"references\.Audio-0: "),
        ("video_1", "mute.mp4", 2.0, r"references\.video_1\.start is 2 s, .* ends at 0\.25 s"),
        ("image_1", "film.mp4", 0.0, r"references\.image_1: .*PNG or JPEG"),
    ],
)
def test_files_that_are_not_what_their_tag_says(decoders, folder, tag, name, start, message):
    """Catches a trace, or a reference that is silently nothing."""
    with pytest.raises(RecipeError, match=message):
        made(decoders, given(folder, tag, name, start=start))
    other = given(folder, tag, name).model_copy(update={"sha256": "0"})
    with pytest.raises(RecipeError, match="is not the file it was"):
        made(decoders, other)
