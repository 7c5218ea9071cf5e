"""Loading autoencoders by name, and what names them."""

import pytest
import torch

from model.vae import EMBEDDED, FILES, load_audio_vae, load_video_vae
from model.weights import fingerprint, pack, unpack


def test_the_embedded_pair_is_small_frozen_and_named():
    """Fails when the shipped files outgrow 6 MB, carry no statistics, or load ready to train."""
    assert sum((EMBEDDED / name).stat().st_size for name in FILES.values()) <= 6_000_000
    for vae in (load_video_vae("embedded"), load_audio_vae("embedded")):
        assert len(vae.fingerprint) == 12
        assert not vae.training
        assert not any(weight.requires_grad for weight in vae.parameters())
        assert torch.isfinite(vae.mean_stat).all()
        assert (vae.std_stat > 0).all()


def test_the_fingerprint_follows_weights_and_configuration(tmp_path):
    """Fails when latents of changed weights would pass for latents of the old ones."""
    path = EMBEDDED / FILES["video"]
    tensors, config = unpack(path)
    copy = tmp_path / FILES["video"]
    copy.write_bytes(path.read_bytes())
    assert load_video_vae(tmp_path).fingerprint == load_video_vae("embedded").fingerprint
    tensors["leave.first.bias"][0] += 0.01
    copy.write_bytes(pack(tensors, config))
    assert load_video_vae(tmp_path).fingerprint != load_video_vae("embedded").fingerprint
    assert fingerprint({}, config) != fingerprint({}, {**config, "width": 1})


def test_a_wrong_folder_and_a_wrong_file_are_named(tmp_path):
    """Fails when missing, damaged or swapped weights end in a stack trace of a library."""
    with pytest.raises(ValueError, match=r"no autoencoder at .*reelmill vae"):
        load_video_vae(tmp_path)
    (tmp_path / FILES["audio"]).write_bytes(b"not weights")
    with pytest.raises(ValueError, match="not a weights file"):
        load_audio_vae(tmp_path)
    (tmp_path / FILES["audio"]).write_bytes((EMBEDDED / FILES["video"]).read_bytes())
    with pytest.raises(ValueError, match="another kind"):
        load_audio_vae(tmp_path)
