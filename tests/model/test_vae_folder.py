"""Folders and hub ids: what is refused, with which words, and what names the content."""

import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from model.vae import load_audio_vae, load_video_vae
from model.vae_folder import fingerprint_of, is_hub_id, read_saved
from tests.tiny_vaes import VIDEO, save_audio, save_video

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_video(tmp_path_factory.mktemp("wan") / "vae", "wan")


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def edit_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_the_fingerprint_is_of_the_content(saved, copy, tmp_path):
    """Catches latents of other weights passing for the same, and equal ones told apart."""
    name = fingerprint_of(read_saved(saved))
    assert load_video_vae(saved).fingerprint == name
    edit_config(copy, _diffusers_version="0.1")
    assert fingerprint_of(read_saved(copy)) == name
    edit_config(copy, latents_std=[1.0, 1.0, 1.0])
    assert fingerprint_of(read_saved(copy)) != name, "the scale is part of what latents are"
    tensors = load_file(saved / WEIGHTS)
    torch.manual_seed(0)
    VIDEO["wan"]().save_pretrained(tmp_path / "split", max_shard_size="20KB")
    assert len(read_saved(tmp_path / "split").files) > 1
    assert fingerprint_of(read_saved(tmp_path / "split")) == name
    assert load_video_vae(tmp_path / "split").fingerprint == name
    tensors["quant_conv.bias"][0] += 1e-3
    save_file(tensors, tmp_path / "split" / "x.safetensors")
    other = shutil.copytree(saved, tmp_path / "other")
    save_file(tensors, other / WEIGHTS)
    assert fingerprint_of(read_saved(other)) != name
    halves = {key: value.bfloat16() for key, value in tensors.items()}
    save_file(halves, other / WEIGHTS, metadata={"format": "pt"})
    assert load_video_vae(other).net.dtype == torch.float32, "a CPU computes in float32"


def test_pickled_weights_are_refused_with_the_cure(copy):
    """Catches weights that run code when they are read, and a refusal that helps nobody."""
    (copy / WEIGHTS).rename(copy / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pickled weights .*AutoencoderKLWan.*save_pretrained"):
        load_video_vae(copy)
    (copy / "diffusion_pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match="no weights"):
        load_video_vae(copy)


def test_weights_that_do_not_fit_are_refused(copy):
    """Catches diffusers' random values in the place of weights that a file lacks."""
    tensors = load_file(copy / WEIGHTS)
    whole = dict(tensors)
    del tensors["encoder.conv_in.bias"]
    save_file(tensors, copy / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing keys \['encoder.conv_in.bias'\]"):
        load_video_vae(copy)
    save_file({**whole, "stray": torch.zeros(1)}, copy / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"unexpected keys \['stray'\]"):
        load_video_vae(copy)
    save_file(whole, copy / WEIGHTS, metadata={"format": "pt"})
    edit_config(copy, base_dim=8)
    with pytest.raises(ValueError, match=r"cannot be loaded|do not fit"):
        load_video_vae(copy)
    (copy / WEIGHTS).write_bytes((copy / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"damaged|cannot be loaded"):
        load_video_vae(copy)


def test_other_classes_are_named(saved, copy, tmp_path):
    """Catches a folder of another kind that is loaded as if it fitted."""
    with pytest.raises(ValueError, match="'AutoencoderKLWan'; this takes AutoencoderKLLTX2Audio"):
        load_audio_vae(saved)
    save_audio(tmp_path / "pair")
    with pytest.raises(ValueError, match="'AutoencoderKLLTX2Audio'; this takes"):
        load_video_vae(tmp_path / "pair" / "audio_vae")
    edit_config(copy, _class_name="os.system")
    with pytest.raises(ValueError, match=r"class 'os\.system'"):
        load_video_vae(copy)
    (copy / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="no configuration"):
        load_video_vae(copy)


def test_the_folder_of_a_pipeline_will_do(saved):
    """Catches a path that has to be known to the level."""
    assert load_video_vae(saved.parent).fingerprint == load_video_vae(saved).fingerprint


def test_a_hub_id_comes_from_the_cache(saved, tmp_path, monkeypatch):
    """Catches a revision that is dropped, and a machine without the hub that has the files."""
    commits = {"main": "a" * 40, "v2": "b" * 40}
    home = tmp_path / "models--someone--wan"
    for branch, commit in commits.items():
        shutil.copytree(saved, home / "snapshots" / commit / "vae")
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / branch).write_text(commit)
    edit_config(home / "snapshots" / commits["v2"] / "vae", latents_mean=[0.0, 0.0, 0.0])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    newest = load_video_vae("someone/wan")
    assert newest.fingerprint == load_video_vae(saved).fingerprint
    assert load_video_vae("someone/wan@v2").fingerprint != newest.fingerprint
    with pytest.raises(ValueError, match=r"someone/wan@v3 is no folder here.*--revision v3"):
        load_video_vae("someone/wan@v3")
    with pytest.raises(ValueError, match=r"hf download someone/ltx2 --include 'audio_vae/\*'"):
        load_audio_vae("someone/ltx2")


def test_what_a_hub_id_is(tmp_path, monkeypatch):
    """Catches a mistyped folder that goes out to the network, or a folder taken for an id."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    ids = {"o/n": True, "o/n@1.0": True, "a/b": False, "/a/b": False, "a": False, "a/b/c": False}
    assert {name: is_hub_id(name) for name in ids} == ids
