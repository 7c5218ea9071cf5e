"""The autoencoders by name: the embedded pair, a folder that `reelmill vae` wrote, or diffusers'.

A name is 'embedded', a folder, or a hub id. All have one interface, so nothing downstream knows
which it is.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from model.geometry import AudioSpec, VideoSpec
from model.vae_audio import AudioVAE, AudioVAEConfig
from model.vae_video import VideoVAE, VideoVAEConfig
from model.weights import fingerprint, pack, unpack

EMBEDDED = Path(__file__).parent / "weights"
FILES = {"video": "video_vae.safetensors", "audio": "audio_vae.safetensors"}
AnyVAE = TypeVar("AnyVAE", VideoVAE, AudioVAE)
CPU = torch.device("cpu")


class VideoCodec(Protocol):
    """Pixels [B,3,F,H,W] in −1…1 to standardised latents [B,C,T,h,w] and back, deterministic."""

    spec: VideoSpec
    fingerprint: str

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels to latents; of a distribution, its mean."""

    def decode(self, latent: Tensor) -> Tensor:
        """Latents to pixels."""


@runtime_checkable
class Spread(Protocol):
    """A video autoencoder whose latents are distributions."""

    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [B,C,T,h,w], both in standardised units."""


class AudioCodec(Protocol):
    """Sound [B,sounds,S] in −1…1 at the spec's rate to standardised latents [B,C,L] and back."""

    spec: AudioSpec
    fingerprint: str
    sounds: int  # channels it hears and gives; one channel is heard on all
    decoded_rate: int  # of what it gives

    def encode(self, sound: Tensor) -> Tensor:
        """Sound to L = round(S / hop) latents, at least one."""

    def decode(self, latent: Tensor, samples: int | None = None) -> Tensor:
        """Latents to sound as long as `samples` at the spec's rate."""


def load_video_vae(name: str | Path = "embedded", device: torch.device = CPU) -> VideoCodec:
    """The video autoencoder, frozen, on `device`. Raises ValueError where `name` is none."""
    if not ours(name, "video"):
        from model.vae_diffusers import load_diffusers_video  # noqa: PLC0415

        return load_diffusers_video(str(name), device)
    tensors, config = unpack(find(name, "video"))
    return _filled(VideoVAE(_config(VideoVAEConfig, config)), tensors, config).to(device)


def load_audio_vae(name: str | Path = "embedded", device: torch.device = CPU) -> AudioCodec:
    """The audio autoencoder, frozen, on `device`. Raises ValueError where `name` is none."""
    if not ours(name, "audio"):
        from model.vae_ltx_audio import load_ltx2_audio  # noqa: PLC0415

        return load_ltx2_audio(str(name), device)
    tensors, config = unpack(find(name, "audio"))
    return _filled(AudioVAE(_config(AudioVAEConfig, config)), tensors, config).to(device)


def ours(name: str | Path, kind: str) -> bool:
    """Whether `name` is embedded or a folder of `reelmill vae`."""
    return str(name) == "embedded" or find(name, kind).is_file()


def find(name: str | Path, kind: str) -> Path:
    """The weights file of `kind` (video, audio) in a folder, or among the embedded ones."""
    return (EMBEDDED if str(name) == "embedded" else Path(name)) / FILES[kind]


def packed(vae: VideoVAE | AudioVAE) -> bytes:
    """The bytes of a weights file, in float16."""
    return pack(dict(vae.state_dict()), asdict(vae.config))


def _config(kind: Any, values: dict[str, Any]) -> Any:  # noqa: ANN401 - either configuration
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"these weights are of another kind of autoencoder: {error}") from error


def _filled(vae: AnyVAE, tensors: dict[str, Any], config: dict[str, Any]) -> AnyVAE:
    try:
        vae.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit their configuration: {error}") from error
    vae.fingerprint = fingerprint(tensors, config)
    frozen: nn.Module = vae.eval()
    frozen.requires_grad_(False)
    return vae
