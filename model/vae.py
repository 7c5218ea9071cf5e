"""The autoencoders by name: the embedded pair, or a folder that `reelmill vae` wrote."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from model.vae_audio import AudioVAE, AudioVAEConfig
from model.vae_video import VideoVAE, VideoVAEConfig
from model.weights import fingerprint, pack, unpack

EMBEDDED = Path(__file__).parent / "weights"
FILES = {"video": "video_vae.safetensors", "audio": "audio_vae.safetensors"}
AnyVAE = TypeVar("AnyVAE", VideoVAE, AudioVAE)


def load_video_vae(name: str | Path = "embedded") -> VideoVAE:
    """The video autoencoder, frozen. Raises ValueError when there is none at `name`."""
    tensors, config = unpack(find(name, "video"))
    return _filled(VideoVAE(_config(VideoVAEConfig, config)), tensors, config)


def load_audio_vae(name: str | Path = "embedded") -> AudioVAE:
    """The audio autoencoder, frozen. Raises ValueError when there is none at `name`."""
    tensors, config = unpack(find(name, "audio"))
    return _filled(AudioVAE(_config(AudioVAEConfig, config)), tensors, config)


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
