"""A clip is a function of its request; a wrong request is refused by field, with the fix."""

import json
import shutil

import av
import cv2
import numpy as np
import pytest

from benchmarks.random_shards import make_set
from curation.files import sha256_file
from curation.media_write import write_clip
from jobs.clip_request import read_request, requests, sizes
from jobs.config import Recipe, RecipeError
from jobs.generate import again, find_checkpoint, run
from jobs.generate_config import GenerateConfig
from jobs.maker import Maker
from jobs.tags import without_tags
from jobs.training import checkpoint
from jobs.training.loop import train_worker
from pipelines.contract import find_set
from pipelines.encode import encode
from pipelines.encode_config import EncodeConfig, Rendition
from pipelines.storage import DataRoot
from tests.caption_server import CaptionServer
from tests.embedded_vaes import save_vaes, with_vaes
from tests.encode_films import INPUTS, fill_ledger, write_film
from tests.tiny_vaes import save_audio, save_video

pytestmark = pytest.mark.usefixtures("alone")
FRAMES, SIZE, FPS = 9, 32, 8.0
SHOWN = {"prompt": "the cat of @image_1", "show_references": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """A run of 2 steps, with untrained autoencoders of the embedded ones' shape."""
    root = tmp_path_factory.mktemp("generate")
    vaes = save_vaes(root / "vaes")
    make_set(root / "shards", {FRAMES: 20}, size=SIZE, channels=16, text_dim=384, val=3)
    out = root / "out"
    job = tiny(out, root / "shards", steps=2, sample_every=2, sample_count=2, sample_steps=2)
    train_worker({"job": with_vaes(job, vaes)})
    return out


@pytest.fixture(scope="module")
def maker(trained):
    return Maker(find_checkpoint(Recipe(name="tiny", out=trained)), "cpu")


def ask(out, words=(), **fields):
    config = GenerateConfig(**{"prompt": "a red ball", "count": 1, "steps": 2, **fields})
    return run(Recipe(name="tiny", out=out, generate=config), list(words))


def newest_clip(out):
    return max((out / "clips").glob("*.mp4"), key=lambda path: path.stat().st_mtime_ns)


def streams(path):
    with av.open(str(path)) as box:
        found = {s.type: s.codec_context.name for s in box.streams}
        return found, sum(1 for _ in box.decode(video=0))


def test_training_writes_samples_with_sound(trained):
    """Catches sample clips that only one rank, or none, writes, or that have no sound."""
    films = sorted((trained / "samples" / "step-00000002").glob("*.mp4"))
    assert [film.name for film in films] == ["00.mp4", "01.mp4"]
    for film in films:
        assert streams(film) == ({"video": "h264", "audio": "aac"}, FRAMES)


def test_json_makes_the_same_bytes(trained, tmp_path):
    """Catches a clip that depends on its batch, on order, or on anything clip.json leaves out."""
    assert ask(trained, prompt=("a red ball", "two blue squares fall"), count=3, seed=5) == 0
    cards = sorted((trained / "clips").glob("*.json"))
    assert len(cards) == 3
    for card in cards:
        film = card.with_suffix(".mp4")
        before = sha256_file(film)
        kept = card.rename(tmp_path / card.name)
        film.unlink()
        assert run(Recipe(name="tiny", out=trained), [str(kept)]) == 0
        assert sha256_file(film) == before
    assert len({sha256_file(path) for path in (trained / "clips").glob("*.mp4")}) == 3


def test_a_film_that_differs_is_said(trained, tmp_path):
    """Catches a reproduction that is claimed and not checked."""
    ask(trained, seed=11)
    card = newest_clip(trained).with_suffix(".json")
    value = json.loads(card.read_text())
    (tmp_path / "other.json").write_text(json.dumps({**value, "sha256": "0" * 64}))
    assert run(Recipe(name="tiny", out=trained), [str(tmp_path / "other.json")]) == 1
    value["request"]["weights"] = "0" * 64
    (tmp_path / "other.json").write_text(json.dumps(value))
    with pytest.raises(RecipeError, match="other weights"):
        run(Recipe(name="tiny", out=trained), [str(tmp_path / "other.json")])
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(RecipeError, match=r"not a clip\.json"):
        run(Recipe(name="tiny", out=trained), [str(tmp_path / "other.json")])


def test_rerun_makes_only_what_is_missing(trained):
    """Catches clips made again, or not made, when the same command runs twice."""
    ask(trained, seed=21, count=2)
    times = {p: p.stat().st_mtime_ns for p in (trained / "clips").glob("*.mp4")}
    newest_clip(trained).with_suffix(".json").unlink()
    ask(trained, seed=21, count=2)
    after = {p: p.stat().st_mtime_ns for p in (trained / "clips").glob("*.mp4")}
    assert after.keys() == times.keys()
    assert sum(after[p] != times[p] for p in times) == 1


def test_a_written_prompt_needs_its_writer_once(trained):
    """Catches a clip.json that cannot be made again without the language model."""
    with CaptionServer() as server:
        enhance = {"model": "m", "url": server.url, "tries": 1}
        assert ask(trained, seed=61, enhance=enhance) == 0
        film = newest_clip(trained)
        server.default = "refusal"
        with pytest.raises(RecipeError, match=r"generate\.enhance: server:m wrote no caption"):
            ask(trained, seed=61, prompt="a blue ball", enhance=enhance)
        server.key = "changed"
        assert ask(trained, seed=61, prompt="a dog", enhance=enhance) == 1
    told = json.loads(film.with_suffix(".json").read_text())
    assert told["request"]["asked"] == "a red ball"
    assert told["request"]["enhancer"] == "server:m"
    assert told["prompt"].startswith("<text>A red ball moves slowly.")
    assert run(Recipe(name="tiny", out=trained), [str(film.with_suffix(".json"))]) == 0
    assert sha256_file(film) == told["sha256"]


def test_a_file_of_requests(trained, tmp_path):
    """Catches sizes that are fixed somewhere below the request, and requests that mix."""
    (tmp_path / "requests.yaml").write_text(
        "- {frames: 13, width: 48, seed: 31}\n- {seconds: 0.7, seed: 32, prompt: a dog}\n"
        "- {make: audio, seed: 33}\n"
    )
    assert ask(trained, words=[tmp_path / "requests.yaml"]) == 0
    first, second = ((trained / "clips").glob(f"clip-{seed:04d}-*.mp4") for seed in (31, 32))
    (wide,), (short,) = first, second
    assert streams(wide)[1] == 13
    assert streams(short)[1] == 5
    prompts = [json.loads(p.with_suffix(".json").read_text())["prompt"] for p in (wide, short)]
    assert prompts == ["a red ball", "a dog"]
    frames = cv2.imread(str(wide.with_suffix(".frames.jpg")))
    assert frames.shape[1] / frames.shape[0] > 3 * 48 / SIZE, "frames stand side by side"
    for seed, beside in ((31, True), (32, True), (33, False)):
        names = {p.name.split(".", 1)[1] for p in (trained / "clips").glob(f"clip-{seed:04d}-*")}
        assert names == ({"mp4", "frames.jpg"} if beside else {"wav"}) | {"json", "sound.webp"}


@pytest.mark.parametrize("field", ["image", "clip"])
def test_given_picture_decides_the_film(trained, tmp_path, field):
    """Catches a first frame or a film that is read and then ignored."""
    found = []
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        pixels = np.full((12, 40, 60, 3), colour, np.uint8)
        path = tmp_path / f"{name}.{'png' if field == 'image' else 'mp4'}"
        if field == "image":
            cv2.imwrite(str(path), pixels[0, ..., ::-1])
        else:
            write_clip(path, pixels, FPS)
        assert ask(trained, **{field: path}, seed=41) == 0
        found.append(newest_clip(trained))
    request = json.loads(found[0].with_suffix(".json").read_text())["request"]
    assert request["keep"] == 1  # half of 9 frames is 4; 1 + 4k below that is 1
    assert sha256_file(found[0]) != sha256_file(found[1])


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A film with sound, long enough for any request, two pictures and a mask."""
    folder = tmp_path_factory.mktemp("material")
    ramp = np.linspace(0, 255, 48).astype(np.uint8)
    pixels = np.stack([np.roll(np.tile(ramp, (48, 1)), 3 * i, axis=1) for i in range(24)])
    samples = np.sin(2 * np.pi * 440 * np.arange(48_000) / 16_000).astype(np.float32)[None]
    write_clip(folder / "film.mp4", np.repeat(pixels[..., None], 3, axis=3), FPS, samples, 16_000)
    for name, value in (("dark", 30), ("light", 220)):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((40, 40, 3), value, np.uint8))
    mask = np.zeros((32, 32, 3), np.uint8)
    mask[8:24, 8:24] = 255
    cv2.imwrite(str(folder / "mask.png"), mask)
    return folder


REQUESTS = {
    "first and last": {"image": "dark.png", "last_image": "light.png"},
    "keyframes": {"keyframes": [{"image": "dark.png", "at": 0.5}]},
    "before": {"clip": "film.mp4", "extend": "backward"},
    "edit": {"source": "film.mp4", "mask": "mask.png"},
    "edit for a time": {"source": "film.mp4", "box": (0.25, 0.25, 0.75, 0.75), "span": (0.5, 1)},
    "outpaint": {"source": "film.mp4", "inside": (0.25, 0.25, 0.75, 0.75)},
    "sound for a film": {"source": "film.mp4", "source_start": 1.0, "make": "sound"},
    "picture for a sound": {"sound": "film.mp4", "make": "picture"},
    "edit that keeps the sound": {"source": "film.mp4", "box": (0, 0, 1, 0.5), "make": "picture"},
}


def with_files(folder, fields):
    """A request's fields with the paths of its files."""
    put = {k: folder / v for k, v in fields.items() if isinstance(v, str) and "." in v}
    if "keyframes" in fields:
        put["keyframes"] = [k | {"image": folder / k["image"]} for k in fields["keyframes"]]
    return fields | put


@pytest.fixture(scope="module")
def from_text(trained):
    """The same clip from text alone."""
    assert ask(trained, seed=51, sampler="dpmpp") == 0
    return sha256_file(newest_clip(trained))


@pytest.mark.parametrize("name", REQUESTS)
def test_each_kind_of_request_is_made_and_made_again(trained, maker, material, from_text, name):
    """Catches a task that works in training alone, or whose clip.json forgets a file."""
    assert ask(trained, **with_files(material, REQUESTS[name]), seed=51, sampler="dpmpp") == 0
    film = newest_clip(trained)
    assert streams(film) == ({"video": "h264", "audio": "aac"}, FRAMES)
    before = sha256_file(film)
    film.unlink()
    assert again(maker, film.with_suffix(".json"), film.parent) == 0
    assert sha256_file(film) == before
    assert before != from_text, "the files changed nothing"


@pytest.mark.slow
def test_ray_actors_make_the_same_clips(trained, maker, tmp_path):
    """Catches clips that depend on the actor they are made in, and one request that stops all."""
    (tmp_path / "image.png").write_text("not a picture")
    (tmp_path / "requests.yaml").write_text(
        f"- {{seed: 71}}\n- {{image: {tmp_path}/image.png}}\n- {{seed: 72, make: audio}}\n"
    )
    assert ask(trained, words=[tmp_path / "requests.yaml"], workers=2) == 1
    cards = [*(trained / "clips").glob("clip-007[12]-*.json")]
    assert len(cards) == 2
    for card in cards:
        request, before = read_request(card)
        maker.make(request, tmp_path / request.file)
        assert sha256_file(tmp_path / request.file) == before


def made(maker, folder, **fields):
    """The file of a request, made twice."""
    config = GenerateConfig(**{"prompt": "a red ball", "count": 1, "steps": 2, **fields})
    (request,) = requests(config, list(config.prompts), maker.card, maker.weights, threads=1)
    hashes = []
    for _ in range(2):
        maker.make(request, folder / request.file)
        hashes.append(sha256_file(folder / request.file))
    assert hashes[0] == hashes[1]
    return folder / request.file


def test_sound_film_and_picture_alone(maker, tmp_path):
    """Catches a tower that runs without a request for it, or a file that is not what it says."""
    assert cv2.imread(str(made(maker, tmp_path, make="image"))).shape == (SIZE, SIZE, 3)
    for make, ending, kind in (("audio", ".wav", "audio"), ("video", ".mp4", "video")):
        path = made(maker, tmp_path, make=make)
        assert path.suffix == ending
        with av.open(str(path)) as box:
            assert [stream.type for stream in box.streams] == [kind]
            assert box.duration / av.time_base == pytest.approx(FRAMES / FPS, abs=0.01)


def test_references_decide_the_film(maker, material, tmp_path):
    """Catches references that are read, encoded and then lost on the way into the network."""
    prompt = "the grey of @image_1 moves as in @video_1 and sounds like @Audio-0"
    given = {"image_1": "dark.png", "video_1": "film.mp4", "Audio-0": "film.mp4"}
    films = [
        made(maker, tmp_path, prompt=prompt, references={t: material / n for t, n in tags.items()})
        for tags in (given, given | {"image_1": "light.png"})
    ]
    plain = made(maker, tmp_path, prompt=without_tags(prompt))
    assert len({sha256_file(path) for path in (*films, plain)}) == 3


def test_impossible_requests_name_field_and_fix(trained, tmp_path):
    """Catches a request that fails deep in a tensor operation instead of at the border."""
    (tmp_path / "text.png").write_text("not a picture")
    red = tmp_path / "red.png"
    cv2.imwrite(str(red), np.full((8, 8, 3), 9, np.uint8))
    write_clip(tmp_path / "short.mp4", np.zeros((2, 32, 32, 3), np.uint8), FPS)
    for fields, message in (
        ({"frames": 18}, r"generate\.frames is 18.*17 or 21"),
        ({"width": 40}, r"generate\.width is 40.*multiple of 16"),
        ({"image": tmp_path / "none.png"}, r"generate\.image: there is no file"),
        ({"image": tmp_path / "text.png"}, r"generate\.image: .*PNG or JPEG"),
        ({"clip": tmp_path / "short.mp4", "keep": 5}, r"generate\.clip: .*lower generate\.keep"),
        ({"clip": tmp_path / "short.mp4", "keep": 6}, r"generate\.keep is 6.*1 \+ 4k"),
        ({"checkpoint": tmp_path}, "there is no checkpoint"),
        ({"prompt": "@image_1"}, r"generate\.prompt names @image_1"),
        ({"frames": 9_997, "width": 4096, "height": 4096}, "GiB at once .*lower generate.seconds"),
        (SHOWN | {"references": {"image_1": red}}, "text encoder reads words alone"),
    ):
        with pytest.raises(RecipeError, match=message):
            ask(trained, **fields)
    with pytest.raises(ValueError, match="image or clip"):
        GenerateConfig(image=tmp_path / "a", clip=tmp_path / "b")
    source = {"source": tmp_path / "a"}
    for wrong, message in (
        (source, "say what is made anew"),
        ({"box": (0, 0, 1, 1)}, "box says what of `source`"),
        (source | {"box": (0.5, 0, 0.5, 1)}, "left < right"),
        (source | {"box": (0, 0, 1, 1), "inside": (0, 0, 1, 1)}, "one of mask, box and inside"),
        (source | {"span": (2, 1)}, "from < to"),
        (source | {"make": "sound", "span": (0, 1)}, "whole picture of `source`"),
        ({"make": "picture"}, "keeps the sound of"),
        ({"make": "audio", "image": tmp_path / "a"}, "made from text and references"),
        ({"make": "image", "seconds": 2}, "make: image is one frame"),
        ({"make": "video", "sound": tmp_path / "a"}, "take make: picture"),
    ):
        with pytest.raises(ValueError, match=message):
            GenerateConfig(**wrong)


def test_damaged_checkpoint_is_refused(trained, tmp_path):
    """Catches weights that are used without a look at their hash."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(trained / "checkpoints", folder)
    path = checkpoint.newest(folder) / "ema.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RecipeError, match="no complete checkpoint"):
        ask(trained, checkpoint=folder)


def test_default_size_is_the_bucket_trained_most():
    """Catches a default taken from any bucket that happens to come first."""
    spec = {"channels": 16, "time": 4, "space": 8}
    shape = {"height": 32, "width": 32, "fps": 8.0}
    card = {
        "video_vae": {"spec": spec},
        "model": {"patch": 2},
        "buckets": {
            "a": {"frames": 5, "train": 3, **shape},
            "b": {"frames": 9, "train": 7, **shape},
        },
    }
    assert sizes(GenerateConfig(), card)["frames"] == 9


def test_diffusers_autoencoders_from_films_to_clip(tmp_path, tiny):
    """Catches a part of the route that knows only the embedded strides, one channel or 16 kHz."""
    for seed in range(2):
        write_film(tmp_path / "films" / f"{seed}.mp4", seed)
    out = tmp_path / "out"
    fill_ledger(DataRoot(out / "data"), tmp_path / "films")
    save_video(tmp_path / "vaes" / "vae", "ltx2")
    save_audio(tmp_path / "vaes")
    names = {"video_vae": str(tmp_path / "vaes"), "audio_vae": str(tmp_path / "vaes")}
    size = Rendition(height=64, width=64, fps=8, frames=17)
    encode(
        DataRoot(out / "data"), EncodeConfig(renditions=(size,), text=("short",), **names), INPUTS
    )
    captions = {"short": 1, "long": 0, "structured": 0}
    job = tiny(out, find_set(DataRoot(out / "data")), steps=2, global_batch=2, captions=captions)
    train_worker({"job": job})
    assert ask(out, frames=17, seed=3) == 0
    with av.open(str(newest_clip(out))) as box:
        track = box.streams.audio[0]
        assert (track.rate, track.channels) == (24_000, 2)
        assert sum(1 for _ in box.decode(video=0)) == 17
    card = newest_clip(out).with_suffix(".json")
    assert run(Recipe(name="tiny", out=out), [str(card)]) == 0, "not the same bytes again"
    with pytest.raises(RecipeError, match=r"generate\.frames is 13.*1 \+ 8k"):
        ask(out, frames=13)
