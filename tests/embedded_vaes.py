"""A training job on untrained autoencoders of the embedded ones' shape, which are on disk."""

from dataclasses import replace

import torch

from model.text import load_text_encoder
from model.vae import FILES, load_audio_vae, load_video_vae, packed
from model.vae_audio import AudioVAE, AudioVAEConfig
from model.vae_video import VideoVAE, VideoVAEConfig


def save_vaes(folder):
    """Both, in `folder`; the same every time."""
    folder.mkdir()
    torch.manual_seed(0)
    vaes = {"video": VideoVAE(VideoVAEConfig()), "audio": AudioVAE(AudioVAEConfig())}
    for kind, vae in vaes.items():
        vae.mean_stat.fill_(0)  # NaN until training measures them
        vae.std_stat.fill_(1)
        (folder / FILES[kind]).write_bytes(packed(vae))
    return folder


def with_vaes(job, folder):
    """`job` as of a set that the autoencoders in `folder` and the embedded encoder made."""
    loaded = {"video_vae": load_video_vae(folder), "audio_vae": load_audio_vae(folder)}
    card = dict(job.card)
    for name, vae in loaded.items():
        assert vars(vae.spec) == card[name]["spec"]
        card[name] = {**card[name], "name": str(folder), "fingerprint": vae.fingerprint}
    text = {"encoder": "minilm", "fingerprint": load_text_encoder().fingerprint}
    return replace(job, card={**card, "text": {**card["text"], **text}})
