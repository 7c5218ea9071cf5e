"""Films of several pieces: exact, made again bit for bit, going on when stopped."""

import json
from copy import copy
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

from curation.files import sha256_file
from jobs.clip_request import requests
from jobs.config import Recipe, RecipeError
from jobs.generate import find_checkpoint, run
from jobs.generate_config import GenerateConfig
from jobs.maker import Maker
from jobs.memory import need_of
from jobs.pieces import pieces
from jobs.shots import within
from model.geometry import Geometry
from tests.jobs import test_generate
from tests.jobs.test_generate import FPS, SIZE, ask, newest_clip, streams

pytestmark = pytest.mark.usefixtures("alone")
trained, maker, material = test_generate.trained, test_generate.maker, test_generate.material


SHOTS = "[0-1s] a red ball [1-2.6s] <sfx>a knock</sfx>"


def one(maker, **fields):
    """The request of one clip of 2 steps."""
    config = GenerateConfig(**{"prompt": "a red ball", "count": 1, "steps": 2, **fields})
    (request,) = requests(config, list(config.prompts), maker.card, maker.weights, threads=1)
    return request


def test_a_film_longer_than_trained_is_made_in_pieces(trained, maker, tmp_path):
    """Catches frames or sound that are lost or doubled at a seam, a film that its json does not
    make again, and a stopped one that begins anew or goes on otherwise.
    """
    assert ask(trained, seconds=2.7, seed=61, prompt=SHOTS, threads=1) == 0
    film = newest_clip(trained)
    card = json.loads(film.with_suffix(".json").read_text())["request"]
    assert (card["piece"], card["overlap"]) == (9, 5)
    assert streams(film) == ({"video": "h264", "audio": "aac"}, 21)
    with av.open(str(film)) as box:
        assert box.duration / av.time_base == pytest.approx(21 / FPS, abs=0.01)
    before = sha256_file(film)
    assert run(Recipe(name="tiny", out=trained), [str(film.with_suffix(".json"))]) == 0
    assert sha256_file(film) == before
    made = []

    class Stopping(Maker):
        def make_piece(self, request, geometry, changed):
            if len(made) == 2:
                raise KeyboardInterrupt
            made.append(geometry.start)
            return super().make_piece(request, geometry, changed)

    stopping, request = copy(maker), one(maker, seconds=2.7, seed=61, prompt=SHOTS)
    stopping.__class__ = Stopping
    with pytest.raises(KeyboardInterrupt):
        stopping.make(request, tmp_path / request.file)
    assert [path.suffixes for path in tmp_path.iterdir()] == [[".pieces", ".safetensors"]]
    stopping.make_piece = lambda *given: made.append(given[1].start) or maker.make_piece(*given)
    stopping.make(request, tmp_path / request.file)
    assert made == [0, 4, 8, 12]
    assert sha256_file(tmp_path / request.file) == before
    assert [path.name for path in tmp_path.iterdir()] == [film.name], "what is halfway is gone"


def test_pieces_go_on_from_the_latents_before(maker, tmp_path):
    """Catches a piece that is given something else than the film has, or nothing."""
    film, seen = Geometry(21, SIZE, SIZE, FPS), []

    class Watching(Maker):
        def latents(self, request, scene):
            seen.append((scene, super().latents(request, scene)))
            return seen[-1][1]

    maker = copy(maker)
    maker.__class__ = Watching
    request = one(maker, frames=film.frames)
    maker.make(request, tmp_path / request.file)
    assert [scene.geometry.start for scene, _ in seen] == [0, 4, 8, 12]
    assert seen[0][0].video is None
    for (_, before), (scene, made) in pairwise(seen):
        assert scene.video.keep[0, :, 0, 0].tolist() == [1, 1, 0]
        assert torch.equal(scene.video.latent[:, 1], before.picture[:, -1]), "its last latent"
        assert torch.equal(made.picture[:, 1], before.picture[:, -1]), "comes back as it was"
        kept = int(scene.audio.keep.sum())
        assert 0 < kept < scene.geometry.audio_latents
        assert torch.equal(made.sound[:, :kept], before.sound[:, -kept:])
    assert len({scene.draw.clip_id for scene, _ in seen}) == 4, "each has noise of its own"


def test_files_of_a_long_film(maker, material, tmp_path):
    """Catches files that only the first piece knows, or that every piece is given again."""
    with av.open(str(material / "film.mp4")) as box:
        tail = [f.to_ndarray(format="rgb24", width=SIZE, height=SIZE) for f in box.decode(video=0)]
    for field, name, shown in (("clip", "film.mp4", tail[-1]), ("last_image", "light.png", 220)):
        request = one(maker, **{field: material / name}, frames=13)
        maker.make(request, tmp_path / request.file)
        with av.open(str(tmp_path / request.file)) as box:
            frames = [f.to_ndarray(format="rgb24").astype(int) for f in box.decode(video=0)]
        assert len(frames) == 13
        seen = frames[0] if field == "clip" else frames[-1]
        assert np.abs(seen - np.asarray(shown, int)).mean() < 8, "but for the mp4's own coding"


def test_shots_fall_into_their_pieces():
    """Catches words of a shot that is over, or at the film's times instead of the piece's."""
    prompt = "a park [0-2s] a dog runs <sfx>barks</sfx> [2-5s] a cat sits"
    assert within(prompt, 1.0, 3.0) == (
        "a park [0.00-1.00s] a dog runs <sfx>barks</sfx> [1.00-2.00s] a cat sits"
    )
    assert within(prompt, 2.0, 4.0) == "a park [0.00-2.00s] a cat sits"
    assert within("a park", 2.0, 4.0) == "a park"


def test_in_what_pieces():
    """Catches pieces for a clip as long as trained, and requests that pieces cannot serve."""
    card = {"buckets": {"a": {"frames": 33, "fps": 8.0}, "b": {"frames": 17, "fps": 16.0}}}

    def asked(frames, **fields):
        size = {"frames": frames, "fps": 8.0}
        return pieces(GenerateConfig(**fields), card, size, 4)

    assert asked(33) == asked(161, make="image") == {}
    assert asked(161) == {"piece": 33, "overlap": 9}
    assert asked(161, piece=2.2, overlap=0.5) == {"piece": 17, "overlap": 1}
    assert asked(161, piece=0.7) == {"piece": 5, "overlap": 1}
    assert asked(161, sound="a.wav", make="picture") == {}, "as before: at once"
    with pytest.raises(RecipeError, match="a clip with sound is made at once"):
        asked(161, sound="a.wav", make="picture", piece=2.0)
    with pytest.raises(RecipeError, match=r"overlap is 3\.12 s .* below the piece's 2\.12 s"):
        asked(161, piece=2.2, overlap=3.2)


def test_memory_of_a_long_film_is_that_of_a_piece(trained):
    """Catches a film that is refused for want of memory that no piece takes."""
    folder = find_checkpoint(Recipe(name="tiny", out=trained))
    minute, ten, whole = (
        need_of([GenerateConfig(seconds=s, piece=p)], folder, None)
        for s, p in ((60, None), (600, None), (60, 60.0))
    )
    assert minute == ten
    assert minute.sampling < whole.sampling / 3
    assert minute.decoding < whole.decoding / 10
