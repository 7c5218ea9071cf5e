"""Clips through autoencoders of diffusers: renditions, strides, stereo, lengths."""

import numpy as np
import pytest
import torch

from curation.media import MediaReader
from curation.media_write import write_clip
from curation.records import Reason, RejectedError
from curation.rendition import picture, sound
from model.vae import load_audio_vae, load_video_vae
from pipelines.contract import bucket_geometry, find_set, read_constants, read_contract
from pipelines.encode import encode
from pipelines.encode_clip import half
from pipelines.encode_config import EncodeConfig, Rendition
from pipelines.shards import check_tensors
from pipelines.storage import DataRoot
from pipelines.stream import Reader
from pipelines.verify import verify
from tests.encode_films import INPUTS, fill_ledger
from tests.tiny_vaes import save_audio, save_video

RATE, FPS, SECONDS = 48_000, 24, 3
SPANS = ((0.0, 1.2), (1.2, 2.9))
BASE = Rendition(height=64, width=64, fps=8, frames=17)
LARGE = Rendition(name="large", height=64, width=128, fps=16, frames=17)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """One film: waves that move, a tone on the left, another on the right."""
    folder = tmp_path_factory.mktemp("films")
    y, x = np.mgrid[:96, :128]
    times = np.arange(FPS * SECONDS)[:, None, None]
    level = 128 + 60 * np.sin(x / 9 + times / 4) + 50 * np.sin(y / 7 - times / 5)
    pixels = np.stack([level, 255 - level, level / 2 + 60], -1).clip(0, 255).astype(np.uint8)
    clock = np.arange(RATE * SECONDS) / RATE
    tones = np.stack([np.sin(2 * np.pi * f * clock) for f in (440, 1_250)])
    write_clip(folder / "0.mp4", pixels, FPS, 0.4 * tones.astype(np.float32), RATE, crf=4)
    return folder


@pytest.fixture(scope="module")
def vaes(tmp_path_factory):
    root = tmp_path_factory.mktemp("vaes")
    for name in ("wan", "ltx2"):
        save_video(root / name / "vae", name)
        save_audio(root / name)
    return root


def config(vaes, name, **more):
    folder = str(vaes / name)
    return EncodeConfig(
        **{"renditions": (BASE, LARGE), "text": ("short",), "workers": 1, **more},
        video_vae=folder,
        audio_vae=folder,
    )


@pytest.fixture(scope="module", params=["wan", "ltx2"])
def encoded(request, tmp_path_factory, films, vaes):
    root = DataRoot(tmp_path_factory.mktemp(request.param) / "data")
    fill_ledger(root, films, spans=SPANS)
    tally = encode(root, config(vaes, request.param), INPUTS)
    assert (tally.total, tally.status["ok"]) == (2, 2)
    return request.param, root


def test_a_set_of_two_renditions_says_what_made_it(encoded, vaes):
    """Catches strides, scale or fingerprint of one autoencoder in the contract of another."""
    name, root = encoded
    folder = find_set(root)
    assert verify(folder) == []
    contract = read_contract(folder)
    video, audio = load_video_vae(vaes / name), load_audio_vae(vaes / name)
    for vae, facts in ((video, contract["video_vae"]), (audio, contract["audio_vae"])):
        assert facts["fingerprint"] == vae.fingerprint
        assert facts["spec"] == vars(vae.spec)
    stride = {"wan": 4, "ltx2": 8}[name]
    for bucket in contract["buckets"]:
        for size in bucket_geometry(contract, bucket).values():
            assert size.video.time == stride
            assert (size.frames - 1) % stride == 0
            constants = read_constants(folder, contract)
            assert len(constants[f"silence.{bucket}"]) == audio.spec.channels
    # 1.2 s are 9 frames at 8 a second, 17 of the 19 at 16; of 1.7 s 13 frames are not 1 + 8k
    shapes = {"wan": ["64x64x13@8+128x64x17@16", "64x64x9@8+128x64x17@16"]}
    shapes["ltx2"] = ["64x64x9@8+128x64x17@16"]
    assert sorted(contract["buckets"]) == shapes[name]


def test_latents_are_those_of_the_clips_picture_and_sound(encoded, films, vaes):
    """Catches a rendition encoded at another size, sound of one side, and lengths that part."""
    name, root = encoded
    video, audio = load_video_vae(vaes / name), load_audio_vae(vaes / name)
    reader, film = Reader(find_set(root)), str(films / "0.mp4")
    with MediaReader() as media:
        for row in range(2):
            sample = reader.sample(row)
            assert not sample.stds
            start = sample.info["start_s"]
            for kind, latent in sample.videos.items():
                size = reader.geometry[sample.bucket][kind]
                shown = picture(
                    media, film, start, (size.frames, size.height, size.width), size.fps
                )
                pixels = torch.from_numpy(shown).movedim(-1, 0)[None] / 127.5 - 1
                torch.testing.assert_close(latent, video.encode(pixels)[0].half())
            count = sample.geometry.samples
            heard = torch.from_numpy(sound(media, film, start, count, 16_000, channels=2))[None]
            torch.testing.assert_close(sample.audio, audio.encode(heard)[0].half())
            assert sample.audio.shape[1] == round(sample.geometry.seconds * 25)
            mean = heard.mean(1, keepdim=True)
            assert not torch.allclose(sample.audio, audio.encode(mean)[0].half(), atol=1e-2)


def test_a_rerun_does_nothing(encoded, vaes):
    """Catches a fingerprint that changes from one start to the next."""
    name, root = encoded
    before = {p.name: p.stat().st_mtime_ns for p in find_set(root).iterdir()}
    assert encode(root, config(vaes, name), INPUTS).earlier == 2
    assert {p.name: p.stat().st_mtime_ns for p in find_set(root).iterdir()} == before


def test_sizes_that_the_stride_does_not_divide_are_named(films, vaes, tmp_path):
    """Catches a pass that fails clip by clip, deep in a convolution."""
    root = DataRoot(tmp_path / "data")
    fill_ledger(root, films, spans=SPANS)
    small = Rendition(name="small", height=48, width=80, fps=8, frames=17)
    with pytest.raises(
        ValueError, match=r"small is 80x48; .* multiples of 32 pixels, e\.g\. 64x64"
    ):
        encode(root, config(vaes, "ltx2", renditions=(small,)), INPUTS)


def test_a_latent_of_another_length_is_a_rejection():
    """Catches sound that is a latent longer than its picture, stored or ending the pass."""
    with pytest.raises(RejectedError, match=r"audio: .*\(8, 26\).* \(8, 25\)") as caught:
        half(torch.zeros(8, 26), "audio", (8, 25))
    assert caught.value.reason == Reason.INTERNAL
    with pytest.raises(RejectedError, match="video latent") as caught:
        half(torch.full((1, 1, 1, 1), 1e6), "video", (1, 1, 1, 1))
    assert caught.value.reason == Reason.NOT_FINITE


def test_spread_is_stored_where_asked(films, vaes, tmp_path):
    """Catches a standard deviation that is not the network's, that the stream or verify cannot see,
    or that changes the means beside it."""
    root = DataRoot(tmp_path / "data")
    fill_ledger(root, films, spans=SPANS)
    encode(root, config(vaes, "wan", store_std=True), INPUTS)
    assert verify(find_set(root)) == []
    vae, film = load_video_vae(vaes / "wan"), str(films / "0.mp4")
    reader = Reader(find_set(root))
    with MediaReader() as media:
        for row in range(2):
            sample = reader.sample(row)
            assert sample.stds.keys() == sample.videos.keys() == {"base", "large"}
            for kind, std in sample.stds.items():
                size = reader.geometry[sample.bucket][kind]
                frames = (size.frames, size.height, size.width)
                shown = picture(media, film, sample.info["start_s"], frames, size.fps)
                pixels = torch.from_numpy(shown).movedim(-1, 0)[None] / 127.5 - 1
                mean, spread = vae.posterior(pixels)
                torch.testing.assert_close(sample.videos[kind], mean[0].half())
                torch.testing.assert_close(std, spread[0].half())
    with pytest.raises(ValueError, match=r"base\.video, base\.video_std.*not there"):
        check_tensors({"audio": sample.audio}, reader.shapes[sample.bucket])
    tensors = {f"{n}.video": t for n, t in sample.videos.items()}
    with pytest.raises(ValueError, match=r"base\.video_std, large\.video_std: not there"):
        check_tensors(tensors, reader.shapes[sample.bucket])


def test_spread_of_the_embedded_autoencoder_is_refused(films, tmp_path):
    """Catches zeros, or nothing, stored in the place of a spread that does not exist."""
    root = DataRoot(tmp_path / "data")
    fill_ledger(root, films, spans=SPANS)
    with pytest.raises(ValueError, match="'embedded' gives no standard deviation"):
        encode(root, EncodeConfig(renditions=(BASE,), text=("short",), store_std=True), INPUTS)


def test_large_renditions_are_tiled(films, vaes, tmp_path):
    """Catches a threshold that nothing heeds, and tiles that the set's name does not tell."""
    made = {}
    for above in (262_144, 921_600):
        root = DataRoot(tmp_path / str(above))
        fill_ledger(root, films, spans=SPANS[:1])
        size = Rendition(height=512, width=640, fps=8, frames=1)
        encode(root, config(vaes, "ltx2", renditions=(size,), tile_above=above), INPUTS)
        assert verify(find_set(root)) == []
        constants = read_constants(find_set(root), read_contract(find_set(root)))
        made[find_set(root).name] = (Reader(find_set(root)).sample(0).video, constants)
    (tiled, black), (whole, other) = made.values()
    assert tiled.shape == whole.shape == (8, 1, 16, 20)
    assert torch.equal(tiled[..., :4], whole[..., :4])
    assert not torch.equal(tiled, whole)
    assert black.keys() == other.keys()
