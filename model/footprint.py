"""What training takes in memory, by formula: weights, gradients, optimizer states, activations; and
what making a clip takes.

Activations are what autograd keeps between the forward and the backward pass, counted layer by
layer in units of one token's features and tested against what torch really saves. Attention is
taken to be a fused kernel, which keeps its inputs and output but no scores. Workspace of kernels,
buckets of collectives and fragmentation come on top.

Letters: W width, r mlp_ratio; video, audio, text are token counts of one sample.
"""

from dataclasses import dataclass

import torch

from model.config import ModelConfig
from model.mmdit import MMDiT

GIB = 2**30
STAGES = (0, 1, 2, 3)  # ZeRO: nothing, optimizer states, gradients too, weights too are shared out


@dataclass(frozen=True)
class Weights:
    """Parameters by part."""

    video: int
    audio: int
    exchange: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.video + self.audio + self.exchange


@dataclass(frozen=True)
class States:
    """Bytes that one GPU holds of what belongs to the weights."""

    weights: float
    gradients: float
    optimizer: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.weights + self.gradients + self.optimizer


def count_weights(config: ModelConfig) -> Weights:
    """Parameters of a configuration, counted on the meta device: no memory is taken."""
    with torch.device("meta"):
        model = MMDiT(config)
    parts = {"video": 0, "audio": 0, "exchange": 0}
    for name, parameter in model.named_parameters():
        inside = name.split(".")[2] if name.startswith("blocks.") else name.split(".")[0]
        parts[inside if inside in ("video", "audio") else "exchange"] += parameter.numel()
    return Weights(**parts)


def states(weights: int, stage: int, gpus: int, half: bool = True) -> States:
    """Bytes on one of `gpus` under ZeRO `stage` (Rajbhandari et al. 2020, §5) with AdamW.

    Weights and gradients are bfloat16 (`half`) or float32. The optimizer holds float32: the master
    weights, two moments and the running average, 16 bytes a weight.
    """
    size = 2 if half else 4
    return States(
        weights * size / (gpus if stage >= 3 else 1),
        weights * size / (gpus if stage >= 2 else 1),
        weights * 16 / (gpus if stage >= 1 else 1),
    )


def stream_kept(tokens: int, config: ModelConfig, parallel: bool = False) -> int:
    """Elements kept of one token list in a block.

    Attention: input, normalised, modulated, qkv (3), rotated query and key, value, output,
    projected. MLP: input, normalised, modulated, up (r), activated (r), down. Side by side both
    have one input and are projected as one.
    """
    return tokens * config.width * ((13 if parallel else 15) + 2 * config.mlp_ratio)


def read_kept(reader: int, source: int, config: ModelConfig) -> int:
    """Elements kept of a cross-attention.

    Of who reads: input, normalised, query twice (plain, normalised), output; of what is read:
    normalised, key and value, normalised key.
    """
    return config.width * (5 * reader + 4 * source)


def block_kept(config: ModelConfig, video: int, audio: int, text: int, dual: bool) -> int:
    """Elements kept of one block."""
    parallel = config.parallel_single and not dual
    total = 0
    for media, crosses in ((video, True), (audio, config.text_cross_audio)):
        if media:
            total += stream_kept(media + text, config, parallel)
            total += read_kept(media, text, config) if crosses else 0
    if video and audio:
        total += read_kept(audio, video, config) + read_kept(video, audio, config)
    return total


def ends_kept(config: ModelConfig, video: int, audio: int, text: int) -> int:
    """Elements kept outside the blocks: inputs of the embeddings, the head's three, refined text.

    A block of the text refiner: input, normalised, qkv (3), output, projected; the same of its MLP
    with up (4), activated (4) and down.
    """
    picture = (2 * config.video_channels + 1) * config.patch**2 + 3 * config.width
    sound = config.audio_channels + 3 * config.width
    towers = bool(video) + bool(audio)
    words = config.text_dim + 18 * config.width * config.text_refiner
    return video * picture + audio * sound + towers * text * words


def activations(
    config: ModelConfig, video: int, audio: int, text: int, *, checkpointed: bool
) -> int:
    """Elements that one sample's forward pass keeps for its backward pass.

    Checkpointed by block, only the token lists between blocks are kept, and one block at a time is
    run again.
    """
    text = max(text, 1)
    dual, single = (block_kept(config, video, audio, text, kind) for kind in (True, False))
    ends = ends_kept(config, video, audio, text)
    if not checkpointed:
        return config.dual * dual + config.single * single + ends
    between = sum(media + text for media in (video, audio) if media) * config.width
    largest = dual if config.dual else single
    return (config.dual + config.single) * between + largest + ends


def sampling_peak(config: ModelConfig, video: int, audio: int, text: int, batch: int) -> int:
    """Most elements that a forward pass without gradients holds at once, weights not counted.

    That is in the joint attention of the longer token list, when queries are rotated: the list and
    its copy (2), qkv (3), normalised query and key (2), these and the value as one list with the
    text (3), rotated query and what makes up the rotated key (5.5). Cosines and sines of both
    rotations are one for a batch. The shorter list waits meanwhile.
    """
    text = max(text, 1)
    long, short = max(video, audio) + text, min(video, audio)
    short += text if short else 0
    return round(batch * config.width * (15.5 * long + short) + 4 * config.head_dim * long)


def decoding_peak(frames: int, height: int, width: int) -> int:
    """Most elements held while pixels are made: five copies of the film in float32.

    The embedded decoder's linear and deep part, their sum, the film and its cut to −1…1; tiles are
    added up to as many, and what becomes bytes after it is less. A decoder of diffusers holds its
    feature maps besides, of one tile or picture, which are left out.
    """
    return 5 * 3 * frames * height * width
