"""What was given of a clip, against what the clip shows there."""

import json

import numpy as np
import pytest

from curation.files import sha256_file, write_json
from curation.media import MediaReader
from curation.media_write import write_clip
from curation.world.film import make_film
from jobs.evaluating.clips import describe
from jobs.evaluating.kept import kept_scores, read_kept, ssim
from tests.jobs.evaluating.conftest import WORLD

REQUEST = {
    "prompt": "a ball", "seed": 1, "weights": "w", "frames": 17, "height": 64, "width": 64,
    "fps": 16.0, "steps": 1, "guidance_video": 1, "guidance_audio": 1, "shift": 1,
    "device": "cpu", "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def film():
    return make_film(WORLD, 0)


def clip(folder, pixels, source, **changes):
    """A clip that was asked to paint all but a box of `source` anew."""
    path = folder / "clip.mp4"
    write_clip(path, pixels, 16, crf=4)
    given = {"role": "source", "path": str(source), "sha256": sha256_file(source),
             "field": "source", "frames": 17, "start": 0.0}  # fmt: skip
    request = REQUEST | {"given": [given], "box": [0.5, 0.0, 1.0, 1.0]} | changes
    write_json(path.with_suffix(".json"), {"prompt": "a ball", "request": request, "sha256": ""})
    return describe(path)


def test_kept_regions_are_compared_and_nothing_else(tmp_path, film):
    """The part that was made anew counted, or what was kept left out."""
    source = tmp_path / "source.mp4"
    write_clip(source, film.pixels, 16, crf=4)
    made = film.pixels[:17].copy()
    made[:, :, 34:] = 0
    with MediaReader() as reader:
        found = kept_scores(read_kept(reader, clip(tmp_path, made, source)))
        assert found["kept_psnr"] > 35
        assert found["kept_ssim"] > 0.95
        made[:, :, :30] = 0
        worse = kept_scores(read_kept(reader, clip(tmp_path, made, source)))
        assert worse["kept_psnr"] < 20


def test_both_fall_with_noise(film):
    """A ratio that does not see what is added."""
    pixels = film.pixels[:5]
    where = np.ones(pixels.shape[:3], bool)
    found = []
    for sigma in (1, 6, 20, 50):
        noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
        made = np.clip(pixels + noise, 0, 255).astype(np.uint8)
        found.append(kept_scores((made, pixels, where)))
    for name in found[0]:
        values = [one[name] for one in found]
        assert values == sorted(values, reverse=True), name
    assert ssim(pixels, pixels, where) == pytest.approx(1)
    assert ssim(pixels, pixels, ~where) is None


def test_nothing_given_or_gone_is_null(tmp_path, film):
    """A best score for a clip that kept nothing, or whose source is another file now."""
    source = tmp_path / "source.mp4"
    write_clip(source, film.pixels, 16)
    with MediaReader() as reader:
        made = clip(tmp_path, film.pixels[:17], source, given=[])
        assert read_kept(reader, made) is None
        made = clip(tmp_path, film.pixels[:17], source)
        write_clip(source, film.pixels[::-1], 16)
        assert read_kept(reader, made) is None
        card = tmp_path / "clip.json"
        card.write_text(json.dumps({"prompt": "x", "request": {"no": 1}, "sha256": ""}))
        assert read_kept(reader, describe(tmp_path / "clip.mp4")) is None
