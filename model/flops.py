"""Forward FLOPs by formula: the cost that the training stream packs batches by.

A multiply-add counts two. Norms, rotations and activations are left out, as they are by
torch.utils.flop_counter, which the formula is tested against.

Letters: video, audio, text are token counts of one sample.
"""

from math import ceil

from model.config import ModelConfig
from model.geometry import Geometry
from model.sparse import SIZE, chosen_count
from model.text_refiner import MLP_RATIO

BACKWARD = 2  # a backward pass costs two forward passes


def linear(tokens: int, channels_in: int, channels_out: int) -> int:
    """A projection of `tokens`."""
    return 2 * tokens * channels_in * channels_out


def attention(queries: int, keys: int, width: int) -> int:
    """Scores and weighted sum."""
    return 4 * queries * keys * width


def cross_attention(queries: int, keys: int, width: int) -> int:
    """A CrossAttention with its projections."""
    projections = 2 * linear(queries, width, width) + linear(keys, width, 2 * width)
    return projections + attention(queries, keys, width)


def tower_block(
    config: ModelConfig, media: int, text: int, dual: bool, text_cross: bool, sparse: float = 0.0
) -> int:
    """One tower's part of a block, exchange excluded; `sparse` is the share of cubes it reads."""
    width, tokens = config.width, media + text
    parts = 3 if config.parallel_single and not dual else 6
    modulation = linear(2 if dual else 1, width, parts * width)
    projections = linear(tokens, width, 4 * width)
    reading = attention(tokens, tokens, width)
    if sparse:
        reading = sparse_attention(media, text, width, sparse) + linear(media, width, width)
    mlp = 2 * linear(tokens, width, config.mlp_ratio * width)
    cross = cross_attention(media, text, width) if text_cross else 0
    return modulation + projections + reading + mlp + cross


def sparse_attention(media: int, text: int, width: int, share: float) -> int:
    """Pooling, attention of pooled cubes, and of tokens with whole chosen cubes; text reads all.

    Cubes that are partly empty at the far edges are left out.
    """
    count = ceil(media / SIZE)
    coarse = 6 * media * width + attention(count, count, width)
    chosen = chosen_count(share, count)
    if chosen == count:
        return coarse + attention(media + text, media + text, width)
    keys = (chosen + ceil(text / SIZE)) * SIZE
    return coarse + attention(media, keys, width) + attention(text, media + text, width)


def tower_ends(config: ModelConfig, media: int, text: int, channels: tuple[int, int]) -> int:
    """Embeddings, conditioning vector and head."""
    width = config.width
    code = linear(1, config.t_channels, width) + linear(1, width, width)
    vector = code + linear(1, width, 3 * width)
    if config.pooled_dim:
        vector += linear(1, config.pooled_dim, width)
    if config.guidance:
        vector += code
    tokens = linear(media, channels[0], width) + linear(media, width, channels[1])
    refined = text_refiner(config, text) if config.text_refiner else 0
    return vector + tokens + linear(text, config.text_dim, width) + refined


def text_refiner(config: ModelConfig, text: int) -> int:
    """The blocks over text and their conditioning vector."""
    width = config.width
    vector = linear(1, config.t_channels + config.text_dim + 2 * width, width)
    per_token = linear(text, width, 4 * width) + 2 * linear(text, width, MLP_RATIO * width)
    block = per_token + attention(text, text, width) + linear(1, width, 2 * width)
    return vector + config.text_refiner * block


def forward_flops(config: ModelConfig, video: int, audio: int, text: int) -> int:
    """FLOPs of one sample's forward pass; 0 video or audio tokens skip that tower."""
    text = max(text, 1)  # the null token
    kinds = [True] * config.dual + [False] * config.single
    area = config.patch**2
    total = 0
    if video:
        share = config.sparse
        total += sum(tower_block(config, video, text, kind, True, share) for kind in kinds)
        ends = (2 * config.video_channels + 1) * area, config.video_channels * area
        total += tower_ends(config, video, text, ends)
    if audio:
        cross = config.text_cross_audio
        total += sum(tower_block(config, audio, text, kind, text_cross=cross) for kind in kinds)
        total += tower_ends(config, audio, text, (config.audio_channels, config.audio_channels))
    if video and audio and config.exchange != "none":
        exchange = cross_attention(audio, video, config.width)
        exchange += cross_attention(video, audio, config.width)
        total += len(kinds) * exchange
    return total


def token_counts(config: ModelConfig, geometry: Geometry) -> tuple[int, int]:
    """Video and audio tokens of one clip."""
    _, T, h, w = geometry.video_shape
    return T * (h // config.patch) * (w // config.patch), geometry.audio_latents


def step_flops(
    config: ModelConfig, geometry: Geometry, text_tokens: int, has_audio: bool = True
) -> int:
    """FLOPs of one sample's forward and backward pass."""
    video, audio = token_counts(config, geometry)
    forward = forward_flops(config, video, audio if has_audio else 0, text_tokens)
    return (1 + BACKWARD) * forward
