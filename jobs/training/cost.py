"""What samples cost: tokens and FLOPs, by which the stream cuts its batches."""

from collections.abc import Callable

from jobs.training.config import TrainConfig
from model.config import ModelConfig
from model.flops import forward_flops, token_counts
from model.geometry import Geometry
from model.mmdit import Media

TYPICAL_TEXT = 32  # tokens; text is a small part of a sample's cost


def count_tokens(picture: Media | None, sound: Media | None, patch: int) -> int:
    """Media tokens of a batch, those of keyframes and references among them."""
    total = 0
    for media, area in ((picture, patch**2), (sound, 1)):
        if media is None:
            continue
        total += media.latent[:, 0].numel() // area
        if media.references is not None:
            at_once = media.latent[0, 0, 0].numel() // area  # tokens of a latent: 1 of sound
            total += int(media.references.there.sum()) * at_once
    if picture is not None and picture.keyframes is not None:
        total += picture.keyframes.latent[:, 0].numel() // patch**2
    return total


def picture_tokens(model: ModelConfig, config: TrainConfig, renditions: dict[str, Geometry]) -> int:
    """Tokens of one sample's picture, its keyframes among them."""
    names = [config.rendition, *([config.keyframes.rendition] if config.keyframes else [])]
    return sum(token_counts(model, renditions[name])[0] for name in names)


def sample_cost(model: ModelConfig, config: TrainConfig) -> Callable[[dict[str, Geometry]], float]:
    """FLOPs of one sample's forward pass, from its bucket's geometry: the stream gives batches of
    all buckets the same sum.
    """

    def cost(renditions: dict[str, Geometry]) -> float:
        sound = next(iter(renditions.values())).audio_latents if model.sound else 0
        pictures = picture_tokens(model, config, renditions)
        return float(forward_flops(model, pictures, sound, TYPICAL_TEXT))

    return cost
