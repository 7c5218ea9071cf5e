"""What samples cost: tokens and FLOPs, by which the stream cuts its batches; and a batch's own."""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import lru_cache

from torch import Tensor

from jobs.training.config import TrainConfig
from model.config import ModelConfig
from model.flops import forward_flops, token_counts
from model.geometry import Geometry
from model.mmdit import Media

TYPICAL_TEXT = 32  # tokens; text is a small part of a sample's cost


@dataclass(frozen=True)
class Work:
    """What a batch asks of the network. Tokens are real ones, of references and keyframes too."""

    picture: float = 0
    sound: float = 0
    text: float = 0
    padding: float = 0  # text and references up to the longest of the batch: computed for nobody
    flops: float = 0  # forward pass of the real tokens, by the formulae of model/flops.py

    @property
    def tokens(self) -> float:
        """All real tokens."""
        return self.picture + self.sound + self.text

    def line(self) -> dict[str, float]:
        """For the log; `padding` as a share of all tokens that are computed."""
        return {
            "tokens": self.tokens,
            "tokens_video": self.picture,
            "tokens_audio": self.sound,
            "tokens_text": self.text,
            "padding": self.padding / max(1, self.tokens + self.padding),
        }

    def __add__(self, other: "Work") -> "Work":
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def work_of(picture: Media | None, sound: Media | None, text: Tensor, model: ModelConfig) -> Work:
    """The work of a batch whose real text is `text` [B,N] bool, on the CPU."""
    words = text.sum(1).tolist()
    seen, seen_padding = media_tokens(picture, model.patch**2, len(words))
    heard, heard_padding = media_tokens(sound, 1, len(words))
    flops = map(lambda *tokens: _forward(model, *tokens), seen, heard, words)
    padding = text.numel() - sum(words) + seen_padding + heard_padding
    return Work(sum(seen), sum(heard), sum(words), padding, sum(flops))


def media_tokens(media: Media | None, area: int, samples: int) -> tuple[list[int], int]:
    """Real tokens of each sample, those of keyframes and references among them, and the padding."""
    if media is None:
        return [0] * samples, 0
    own = media.latent[0, 0].numel() // area
    if media.keyframes is not None:
        own += media.keyframes.latent[0, 0].numel() // area
    if media.references is None:
        return [own] * samples, 0
    at_once = media.latent[0, 0, 0].numel() // area if media.latent.ndim == 5 else 1
    there = media.references.there
    real = there.sum(1).tolist()
    return [own + at_once * n for n in real], at_once * (there.numel() - sum(real))


@lru_cache(maxsize=4096)  # 0.1 ms of a deep model; lengths come again
def _forward(model: ModelConfig, picture: int, sound: int, text: int) -> float:
    return float(forward_flops(model, picture, sound, text))


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
