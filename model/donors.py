"""Open MMDiT transformers in diffusers' layout as our picture tower, weight by weight.

HunyuanVideo (dual-stream, then single-stream blocks) and HunyuanVideo 1.5 (dual-stream alone). What
differs in kind (side by side attention and MLP, text refiner, pooled text, guidance that the model
is told) is configuration; what differs in convention is folded into the weights here:

- a donor sees 1000*(1-t) and predicts noise - data: its t code is turned round, its head negated;
- its rotary pairs are neighbours, ours are D/2 apart: query and key channels are reordered;
- its last modulation is (scale, shift), ours (shift, scale).

What a donor lacks is left out of the result: condition and mask channels are zeros in `media_in`;
text cross-attention, exchange and sound tower keep the fresh values of `model.mmdit.initialise`,
whose outputs are zero. So the tower gives the donor's velocity until it is trained.

Letters: W width, C latent channels, p patch, n heads, D head size, r mlp ratio.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from model.config import ModelConfig
from model.tower import T_SCALE

Weights = dict[str, Tensor]
DONORS = {
    "HunyuanVideoTransformer3DModel": "HunyuanVideo",
    "HunyuanVideo15Transformer3DModel": "HunyuanVideo 1.5",
}
DONOR_FPS = 24.0  # both were trained at 24 frames a second
# Of HunyuanVideo 1.5: glyph text (ByT5), the first picture's features (SigLIP) and their marks.
# Without quoted text in the prompt and without a picture they are masked out of every attention.
LEFT = ("image_embedder.", "context_embedder_2.", "time_embed.timestep_embedder_r.")


def donor_config(kind: str, values: Mapping[str, Any], **changes: Any) -> ModelConfig:  # noqa: ANN401
    """Our configuration of a donor's config.json. Raises ValueError for what we cannot hold."""
    later = kind == "HunyuanVideo15Transformer3DModel"
    wanted = {"patch_size_t": 1, "qk_norm": "rms_norm"}
    wanted |= {"use_meanflow": False} if later else {"image_condition_type": None}
    for field, value in wanted.items():
        if values.get(field, value) != value:
            raise ValueError(
                f"{field} is {values[field]!r}; only donors with {value!r} can be taken over"
            )
    heads, size = int(values["num_attention_heads"]), int(values["attention_head_dim"])
    ratio = float(values["mlp_ratio"])
    if ratio != int(ratio):
        raise ValueError(f"mlp_ratio is {ratio}; only whole ratios can be taken over")
    channels = int(values["out_channels"] or values["in_channels"])
    took = int(values["in_channels"])
    if took != (2 * channels + 1 if later else channels):
        raise ValueError(f"in_channels is {took} at out_channels={channels}: an unknown layout")
    if sum(values["rope_axes_dim"]) != size:
        raise ValueError(f"rope_axes_dim {values['rope_axes_dim']} does not sum to {size}")
    fields: dict[str, Any] = {
        "width": heads * size,
        "heads": heads,
        "dual": int(values["num_layers"]),
        "single": 0 if later else int(values["num_single_layers"]),
        "video_channels": channels,
        "text_dim": int(values["text_embed_dim"]),
        "patch": int(values["patch_size"]),
        "mlp_ratio": int(ratio),
        "clock": "latents",
        "clock_fps": DONOR_FPS,
        "rope_split": tuple(values["rope_axes_dim"]),
        "rope_base": float(values["rope_theta"]),
        "t_channels": 256,
        "text_refiner": int(values["num_refiner_layers"]),
        "parallel_single": not later,
        "pooled_dim": 0 if later else int(values["pooled_projection_dim"]),
        "guidance": 6.0 if values.get("guidance_embeds") else 0.0,
        "blank_zero": later,
    }
    return ModelConfig(**fields | changes)


def tower_weights(kind: str, donor: Weights, config: ModelConfig) -> Weights:
    """Our names and tensors for what the donor has. `donor` must be whole and finite."""
    found: Weights = {}
    later = kind == "HunyuanVideo15Transformer3DModel"
    used = Used(donor)
    for name, weight in _ends(used, config, later=later):
        found[name] = weight
    for name, weight in _refiner(used, config, later=later):
        found[name] = weight
    for index in range(config.dual):
        place = f"transformer_blocks.{index}."
        for name, weight in _dual(used, place, config):
            found[f"blocks.{index}.video.{name}"] = weight
    for index in range(config.single):
        place = f"single_transformer_blocks.{index}."
        for name, weight in _single(used, place, config):
            found[f"blocks.{config.dual + index}.video.{name}"] = weight
    forgotten = [name for name in donor if name not in used.names and not name.startswith(LEFT)]
    assert not forgotten, f"no place for {forgotten[:3]}"
    return {name: weight.contiguous() for name, weight in found.items()}


class Used:
    """A donor's weights, and which of them were asked for."""

    def __init__(self, donor: Weights) -> None:
        self.donor = donor
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        """One weight."""
        self.names.add(name)
        return self.donor[name]

    def layer(self, ours: str, theirs: str) -> Iterator[tuple[str, Tensor]]:
        """A linear layer as it is."""
        for part in ("weight", "bias"):
            yield f"{ours}.{part}", self[f"{theirs}.{part}"]


def _ends(used: Used, config: ModelConfig, *, later: bool) -> Iterator[tuple[str, Tensor]]:
    """Embeddings, conditioning vector and head."""
    patches = used["x_embedder.proj.weight"].flatten(1)  # [W, channels*p*q]
    whole = patches.new_zeros(config.width, (2 * config.video_channels + 1) * config.patch**2)
    whole[:, : patches.shape[1]] = patches
    yield "video.media_in.weight", whole
    yield "video.media_in.bias", used["x_embedder.proj.bias"]
    times = "time_embed" if later else "time_text_embed"
    yield from _time(used, "video.t_in", f"{times}.timestep_embedder")
    if later:
        yield "video.pooled_in.weight", patches.new_zeros(config.width, config.width)
        yield "video.pooled_in.bias", patches.new_zeros(config.width)
    else:
        yield from used.layer("video.pooled_in.0", f"{times}.text_embedder.linear_1")
        yield from used.layer("video.pooled_in.2", f"{times}.text_embedder.linear_2")
    if config.guidance:
        yield from used.layer("video.guidance_in.0", f"{times}.guidance_embedder.linear_1")
        yield from used.layer("video.guidance_in.2", f"{times}.guidance_embedder.linear_2")
    for name, weight in used.layer("video.head_modulation", "norm_out.linear"):
        yield name, torch.cat(weight.chunk(2)[::-1])
    for name, weight in used.layer("video.head", "proj_out"):
        yield name, -weight


def _time(used: Used, ours: str, theirs: str) -> Iterator[tuple[str, Tensor]]:
    """The MLP behind the code of t, for a code that runs the other way.

    With a = 1000 f and b = 1000 f t: cos(a-b) = cos a cos b + sin a sin b, and
    sin(a-b) = sin a cos b - cos a sin b.
    """
    weight = used[f"{theirs}.linear_1.weight"]
    half = weight.shape[1] // 2
    steps = torch.arange(half, dtype=torch.float64) / half
    angle = T_SCALE * torch.exp(-math.log(10_000) * steps)
    cos, sin = weight.double().split(half, dim=1)
    turned = [cos * angle.cos() + sin * angle.sin(), cos * angle.sin() - sin * angle.cos()]
    yield f"{ours}.0.weight", torch.cat(turned, dim=1).float()
    yield f"{ours}.0.bias", used[f"{theirs}.linear_1.bias"]
    yield from used.layer(f"{ours}.2", f"{theirs}.linear_2")


def _refiner(used: Used, config: ModelConfig, *, later: bool) -> Iterator[tuple[str, Tensor]]:
    """The text's way into the tower."""
    yield from used.layer("video.text_in", "context_embedder.proj_in")
    ours, theirs = "video.text_refiner", "context_embedder.time_text_embed"
    yield from _time(used, f"{ours}.t_in", f"{theirs}.timestep_embedder")
    yield from used.layer(f"{ours}.pooled_in.0", f"{theirs}.text_embedder.linear_1")
    yield from used.layer(f"{ours}.pooled_in.2", f"{theirs}.text_embedder.linear_2")
    mark = used["cond_type_embed.weight"][0] if later else torch.zeros(config.width)
    yield f"{ours}.kind", mark
    for index in range(config.text_refiner):
        place = f"context_embedder.token_refiner.refiner_blocks.{index}"
        block = f"{ours}.blocks.{index}"
        yield from used.layer(f"{block}.norm_attention", f"{place}.norm1")
        yield from _joined(used, f"{block}.qkv", [f"{place}.attn.to_{x}" for x in "qkv"])
        yield from used.layer(f"{block}.out", f"{place}.attn.to_out.0")
        yield from used.layer(f"{block}.norm_mlp", f"{place}.norm2")
        yield from used.layer(f"{block}.up", f"{place}.ff.net.0.proj")
        yield from used.layer(f"{block}.down", f"{place}.ff.net.2")
        yield from used.layer(f"{block}.gates", f"{place}.norm_out.linear")


def _dual(used: Used, place: str, config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """A block with a stream for picture and one for text."""
    names = ["to_q", "to_k", "to_v", "norm_q", "norm_k", "to_out.0", "norm1", "ff"]
    context = ["add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k"]
    context += ["to_add_out", "norm1_context", "ff_context"]
    for stream, (*qkv, norm_q, norm_k, out, norm, ff) in (
        ("stream", names),
        ("text_stream", context),
    ):
        yield from used.layer(f"{stream}.modulation", f"{place}{norm}.linear")
        yield from _attention(used, stream, f"{place}attn.", (qkv, norm_q, norm_k), config)
        yield from used.layer(f"{stream}.out", f"{place}attn.{out}")
        yield from used.layer(f"{stream}.up", f"{place}{ff}.net.0.proj")
        yield from used.layer(f"{stream}.down", f"{place}{ff}.net.2")


def _single(used: Used, place: str, config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """A block with one stream, whose attention and MLP share one projection and one bias."""
    names = ["to_q", "to_k", "to_v"], "norm_q", "norm_k"
    yield from used.layer("stream.modulation", f"{place}norm.linear")
    yield from _attention(used, "stream", f"{place}attn.", names, config)
    yield from used.layer("stream.up", f"{place}proj_mlp")
    weight, bias = used[f"{place}proj_out.weight"], used[f"{place}proj_out.bias"]
    yield "stream.out.weight", weight[:, : config.width]
    yield "stream.down.weight", weight[:, config.width :]
    yield "stream.out.bias", bias
    yield "stream.down.bias", torch.zeros_like(bias)


def _attention(
    used: Used, ours: str, place: str, names: tuple[list[str], str, str], config: ModelConfig
) -> Iterator[tuple[str, Tensor]]:
    """Query, key and value as one layer, query and key in our order of rotary pairs."""
    qkv, norm_q, norm_k = names
    order = halves(config.head_dim)
    heads = (torch.arange(config.heads)[:, None] * config.head_dim + order).flatten()
    yield from _joined(
        used, f"{ours}.qkv", [place + name for name in qkv], lambda x: x[heads], turned=2
    )
    yield f"{ours}.norm_query.scale", used[f"{place}{norm_q}.weight"][order]
    yield f"{ours}.norm_key.scale", used[f"{place}{norm_k}.weight"][order]


def halves(head_dim: int) -> Tensor:
    """Where channel i of ours stands in a donor's head: pairs (i, i + D/2) from (2i, 2i + 1)."""
    return torch.arange(head_dim).view(-1, 2).T.flatten()


def _joined(
    used: Used,
    ours: str,
    theirs: list[str],
    turn: Callable[[Tensor], Tensor] = lambda x: x,
    turned: int = 0,
) -> Iterator[tuple[str, Tensor]]:
    """Layers stacked into one, the first `turned` of them reordered."""
    for part in ("weight", "bias"):
        pieces = [used[f"{name}.{part}"] for name in theirs]
        pieces = [turn(x) if i < turned else x for i, x in enumerate(pieces)]
        yield f"{ours}.{part}", torch.cat(pieces)
