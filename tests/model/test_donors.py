"""Donors become our picture tower: tiny random instances of diffusers' classes, saved to disk."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from diffusers import HunyuanVideo15Transformer3DModel, HunyuanVideoTransformer3DModel
from safetensors.torch import load_file, save_file

from model.config import ModelConfig, named_config
from model.donor_files import load_donor
from model.donors import donor_config
from model.footprint import count_weights
from model.geometry import AudioSpec, Geometry, VideoSpec
from model.mmdit import MMDiT
from model.tower import Media

SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "num_refiner_layers": 2,
    "rope_axes_dim": (4, 6, 6),
}
TEXT, WORDS, POOLED = 12, 5, 6
CLIP = Geometry(9, 32, 48, 24.0, VideoSpec(channels=4), AudioSpec(channels=6))
T = torch.tensor([0.25, 0.8125])  # what 1000 (1 - t) holds exactly in float32


def fill(network) -> None:
    """Random weights of a size that no path vanishes, norms about one."""
    g = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            about = float("norm" in name and name.endswith("weight") and weight.ndim == 1)
            weight.copy_(about + torch.randn(weight.shape, generator=g) * 0.12)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("donors")
    first = HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_single_layers=2,
        text_embed_dim=TEXT,
        pooled_projection_dim=POOLED,
        **SMALL,
    )
    second = HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        text_embed_dim=TEXT,
        text_embed_2_dim=10,
        image_embed_dim=14,
        **SMALL,
    )
    for name, network in (("hunyuan", first), ("hunyuan15", second)):
        fill(network)
        network.eval().save_pretrained(root / name / "transformer")
    return root


def inputs(extra: int = 0):
    g = torch.Generator().manual_seed(3)
    latent = torch.randn(2, *CLIP.video_shape, generator=g)
    text = torch.randn(2, WORDS + extra, TEXT, generator=g)
    mask = torch.arange(WORDS + extra) < torch.tensor([[WORDS + extra], [WORDS + extra - 2]])
    return latent, text, mask


def picture(latent, text, mask, known=None, keep=None) -> Media:
    return Media(
        latent=latent,
        times=CLIP.video_times(),
        t=T,
        text=text,
        text_mask=mask,
        condition=torch.full_like(latent, 0.7) if known is None else known,
        mask=torch.zeros_like(latent[:, :1]) if keep is None else keep,
    )


def imported(folder, **changes) -> MMDiT:
    """A joint model whose picture tower is the donor's; all else is fresh."""
    donor = load_donor(str(folder), audio_channels=6, **changes)
    torch.manual_seed(0)
    model = MMDiT(donor.config).eval()
    lacking, strange = model.load_state_dict(donor.weights, strict=False)
    assert not strange
    new = ("audio.", "video.null_text")
    inside = (".audio.", ".reads_text.", ".audio_reads_video.", ".video_reads_audio.")
    assert all(name.startswith(new) or any(i in name for i in inside) for name in lacking)
    return model


@torch.no_grad()
def test_hunyuan_video_gives_its_own_velocity(folders):
    """Catches any weight in a wrong place, any convention of time, sign, rotation or order."""
    theirs = HunyuanVideoTransformer3DModel.from_pretrained(folders / "hunyuan/transformer")
    latent, text, mask = inputs(extra=1)  # the first row is the pooled vector
    wanted = theirs(
        latent,
        timestep=1000 * (1 - T),
        encoder_hidden_states=text[:, 1:],
        encoder_attention_mask=mask[:, 1:],
        pooled_projections=text[:, 0, :POOLED],
        guidance=torch.full((2,), 6000.0),
        return_dict=False,
    )[0]
    model = imported(folders / "hunyuan")
    got, _ = model(picture(latent, text, mask), None)
    assert wanted.std() > 0.05
    torch.testing.assert_close(got, -wanted, rtol=0, atol=1e-4)
    other = MMDiT(replace(model.config, guidance=1.0)).eval()
    other.load_state_dict(model.state_dict())
    assert not torch.allclose(other(picture(latent, text, mask), None)[0], got, atol=1e-3)


@torch.no_grad()
def test_hunyuan_video_15_gives_its_own_velocity(folders):
    """Catches the same, and condition or mask channels that are not where the donor has them."""
    theirs = HunyuanVideo15Transformer3DModel.from_pretrained(folders / "hunyuan15/transformer")
    latent, text, mask = inputs()
    keep = torch.zeros_like(latent[:, :1])
    keep[:, :, 0] = 1  # its picture-to-video layout: the first latent is given, the rest is zero
    known = torch.randn_like(latent)
    wanted = theirs(
        torch.cat([latent, known * keep, keep], dim=1),
        timestep=1000 * (1 - T),
        encoder_hidden_states=text,
        encoder_attention_mask=mask,
        encoder_hidden_states_2=torch.zeros(2, 3, 10),
        encoder_attention_mask_2=torch.zeros(2, 3),
        image_embeds=torch.zeros(2, 4, 14),
        return_dict=False,
    )[0]
    got, _ = imported(folders / "hunyuan15")(picture(latent, text, mask, known, keep), None)
    assert wanted.std() > 0.05
    torch.testing.assert_close(got, -wanted, rtol=0, atol=1e-4)


@torch.no_grad()
def test_new_paths_start_closed(folders):
    """Catches sound or text cross-attention that changes the donor's picture before training."""
    model = imported(folders / "hunyuan")
    latent, text, mask = inputs(extra=1)
    video = picture(latent, text, mask)
    sound = Media(torch.randn(2, *CLIP.audio_shape), CLIP.audio_times(), T, text, mask)
    alone, _ = model(video, None)
    both, _ = model(video, sound)
    torch.testing.assert_close(both, alone, rtol=0, atol=0)
    filled = replace(video, mask=torch.ones_like(video.mask), condition=-video.condition)
    torch.testing.assert_close(model(filled, None)[0], alone, rtol=0, atol=0)


def test_an_imported_model_learns_everywhere(folders):
    """Catches a dead path: new ones must open, the donor's must go on."""
    model = imported(folders / "hunyuan").train()
    latent, text, mask = inputs(extra=1)
    video = picture(latent, text, mask)
    sound = Media(torch.randn(2, *CLIP.audio_shape), CLIP.audio_times(), T, text, mask)
    none = replace(video, text_mask=torch.zeros_like(mask))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for _ in range(4):
        optimizer.zero_grad()
        out = [*model(video, sound), *model(none, replace(sound, text_mask=none.text_mask))]
        sum((v - 1).square().mean() for v in out).backward()
        optimizer.step()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def damaged(folders, tmp_path, change):
    """A copy of the first donor with its weights changed."""
    shutil.copytree(folders / "hunyuan", tmp_path / "donor")
    path = tmp_path / "donor/transformer/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    return tmp_path / "donor"


def put(name, value):
    return lambda weights: weights.update({name: value(weights)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("norm_out.linear.bias"), "missing, e.g. norm_out.linear.bias"),
        (put("lora.up", lambda _: torch.ones(2)), "none of .* e.g. lora.up"),
        (put("proj_out.bias", lambda _: torch.ones(3)), r"proj_out.bias is \(3,\)"),
        (put("proj_out.bias", lambda w: w["proj_out.bias"] * float("nan")), "proj_out.bias .*NaN"),
        (put("proj_out.bias", lambda _: torch.ones(16, dtype=torch.int64)), "no floating"),
    ],
)
def test_bad_weights_are_refused_by_name(folders, tmp_path, change, said):
    """Catches a tower that is half a donor, which trains as badly as none and tells nobody."""
    with pytest.raises(ValueError, match=said):
        load_donor(str(damaged(folders, tmp_path, change)))


def test_pickles_and_strangers_are_refused(folders, tmp_path):
    """Catches weights that can run code, and classes whose weights mean something else."""
    folder = shutil.copytree(folders / "hunyuan", tmp_path / "donor") / "transformer"
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickled"):
        load_donor(str(tmp_path / "donor"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_class_name": "WanTransformer3D"}))
    (folder / "pytorch_model.bin").rename(folder / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ValueError, match="WanTransformer3D"):
        load_donor(str(tmp_path / "donor"))
    changed = {**config, "image_condition_type": "token_replace"}
    (folder / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="image_condition_type"):
        load_donor(str(tmp_path / "donor"))
    with pytest.raises(ValueError, match="no donor at"):
        load_donor(str(tmp_path / "nothing"))


def test_the_size_13b_is_hunyuan_videos():
    """Catches a named size that its donor's weights would not fit."""
    defaults = {
        "in_channels": 16, "out_channels": 16, "num_attention_heads": 24,
        "attention_head_dim": 128, "num_layers": 20, "num_single_layers": 40,
        "num_refiner_layers": 2, "mlp_ratio": 4.0, "patch_size": 2, "guidance_embeds": True,
        "text_embed_dim": 4096, "pooled_projection_dim": 768, "rope_theta": 256.0,
        "rope_axes_dim": [16, 56, 56],
    }  # fmt: skip
    assert donor_config("HunyuanVideoTransformer3DModel", defaults) == named_config("13b")
    tower = count_weights(named_config("13b")).video / 1e9
    assert tower == pytest.approx(12.82 + 60 * 4 * 3072**2 / 1e9, rel=0.002)


def test_older_cards_are_as_they_were():
    """Catches a new field in the card of a model that does not use it: no run would resume."""
    card = named_config("tiny").to_json()
    assert "parallel_single" not in card
    assert "blank_zero" not in card
    large = named_config("13b")
    assert ModelConfig(**json.loads(json.dumps(large.to_json()))) == large
