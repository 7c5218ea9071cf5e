"""Small real inputs that the model's tests share."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from model.config import ModelConfig, named_config
from model.geometry import AudioSpec, Geometry, VideoSpec
from model.mmdit import MMDiT
from model.references import Reference, gather
from model.tower import Media

CONFIG = ModelConfig(
    width=24,
    heads=2,
    dual=1,
    single=1,
    video_channels=4,
    audio_channels=6,
    text_dim=12,
    rope_base=100.0,
)
GEOMETRY = Geometry(9, 32, 32, 8.0, VideoSpec(channels=4), AudioSpec(channels=6))


def make_model(seed: int = 0, awake: bool = False, **changes) -> MMDiT:
    """A micro model; `awake` fills the zero-initialised layers, as training would."""
    torch.manual_seed(seed)
    model = MMDiT(replace(CONFIG, **changes))
    if awake:
        wake(model)
    return model


def wake(model: MMDiT) -> None:
    """Small random values in every weight that starts at zero."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)


def make_media(
    seed: int = 1,
    batch: int = 2,
    tokens: int = 5,
    geometry: Geometry = GEOMETRY,
    text_dim: int = 12,
) -> tuple[Media, Media]:
    """Random video and audio of one batch with the same t and text."""
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(batch, generator=g)
    text = torch.randn(batch, tokens, text_dim, generator=g)
    mask = torch.ones(batch, tokens, dtype=torch.bool)
    shape = batch, *geometry.video_shape
    video = Media(
        latent=torch.randn(shape, generator=g),
        times=geometry.video_times(),
        t=t,
        text=text,
        text_mask=mask,
        condition=torch.randn(shape, generator=g),
        mask=torch.zeros(batch, 1, *shape[2:]),
    )
    sound = torch.randn(batch, *geometry.audio_shape, generator=g)
    return video, Media(sound, geometry.audio_times(), t, text, mask)


def make_reference(
    seed: int, kind: str = "both", frames: int = 5, geometry: Geometry = GEOMETRY
) -> Reference:
    """A random reference of `frames` frames: video, audio or both."""
    g = torch.Generator().manual_seed(seed)
    shape = replace(geometry, frames=frames)
    picture = torch.randn(shape.video_shape, generator=g)
    sound = torch.randn(shape.audio_shape, generator=g)
    return Reference(
        shape, picture if kind != "audio" else None, sound if kind != "video" else None
    )


def with_references(
    media: tuple[Media, Media], rows: Sequence[Sequence[Reference]]
) -> tuple[Media, Media]:
    """Video and audio with the references of each sample."""
    video, audio = (replace(m, references=r) for m, r in zip(media, gather(rows), strict=True))
    return video, audio


def tiny_model() -> MMDiT:
    """The shipped tiny size."""
    torch.manual_seed(0)
    return MMDiT(named_config("tiny"))
