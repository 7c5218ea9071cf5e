"""Tiny instances of diffusers' autoencoders with random weights, saved as diffusers saves them."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    AutoencoderKLWan,
)
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder, LTX2VocoderWithBWE


def wan(**more):
    return AutoencoderKLWan(
        base_dim=4,
        z_dim=3,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1, -0.2, 0.3],
        latents_std=[0.5, 1.5, 2.0],
        **more,
    )


def wan22():
    """Wan 2.2's: patches of two pixels, residual down- and upsampling."""
    return wan(
        is_residual=True, patch_size=2, in_channels=12, out_channels=12, scale_factor_spatial=16
    )


def hunyuan():
    return AutoencoderKLHunyuanVideo15(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8, 8),
        layers_per_block=1,
        scaling_factor=1.5,
    )


def ltx2(**more):
    net = AutoencoderKLLTX2Video(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        # what follows from the other fields, 64 and 16, is wrong; LTX-2's own config says these
        **{"spatial_compression_ratio": 32, "temporal_compression_ratio": 8, **more},
    )
    net.latents_mean.normal_(0, 0.1)
    net.latents_std.uniform_(0.5, 1.5)
    return net


def hunyuan_first():
    return AutoencoderKLHunyuanVideo(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        layers_per_block=1,
        scaling_factor=0.5,
    )


VIDEO = {
    "wan": wan,
    "wan22": wan22,
    "hunyuan": hunyuan,
    "hunyuan_first": hunyuan_first,
    "ltx2": ltx2,
}


def audio(**more):
    net = AutoencoderKLLTX2Audio(
        **{
            "base_channels": 8,
            "ch_mult": (1, 1, 1),
            "num_res_blocks": 1,
            "latent_channels": 2,
            "mel_bins": 16,
            **more,
        }
    )
    net.latents_mean.normal_(0, 0.1)
    net.latents_std.uniform_(0.5, 1.5)
    return net


SMALL = {
    "resnet_kernel_sizes": [3],
    "resnet_dilations": [[1]],
    "upsample_kernel_sizes": [16, 15, 8, 4, 4],
    "upsample_factors": [6, 5, 2, 2, 2],
}


def vocoder():
    return LTX2Vocoder(in_channels=32, hidden_channels=32, **SMALL)


def wide_vocoder():
    """LTX-2.3's: 16 kHz and then its upper bands, to 48 kHz."""
    small = {"resnet_kernel_sizes": [3], "resnet_dilations": [[1]]}
    return LTX2VocoderWithBWE(
        in_channels=32,
        hidden_channels=64,
        **small,
        **{f"bwe_{name}": value for name, value in small.items()},
        bwe_in_channels=32,
        bwe_hidden_channels=32,
        num_mel_channels=16,
    )


def save_video(folder: Path, name: str, **more) -> Path:
    """A tiny video autoencoder in `folder`."""
    torch.manual_seed(0)
    VIDEO[name](**more).save_pretrained(folder)
    return folder


def save_audio(folder: Path, voice=vocoder, **more) -> Path:
    """A tiny audio autoencoder and vocoder, in the folders that LTX-2's repository has."""
    torch.manual_seed(0)
    audio(**more).save_pretrained(folder / "audio_vae")
    voice().save_pretrained(folder / "vocoder")
    return folder
