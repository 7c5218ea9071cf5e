"""One tower: what a modality is, its tokens inside the network, its ends and its part of a block.

Letters: B batch, C latent channels, T video latents, h w latent rows and columns, L audio latents,
K media tokens, N text tokens, E text channels, W width, D head size.
"""

import math
from dataclasses import dataclass, replace

import torch
from einops import reduce
from torch import Tensor, nn
from torch.nn import functional

from model.attention import CrossAttention, attend, key_bias, text_bias
from model.config import ModelConfig
from model.references import References
from model.rope import Rotation, rotate
from model.shards import Shards, joint_attention
from model.sparse import Grid, Heads, cube_attention
from model.stream import Modulation, Stream, apart, modulate
from model.text_refiner import TextRefiner

T_SCALE = 1000.0


@dataclass(frozen=True)
class Media:
    """One modality as the model sees it; a batch shares its geometry.

    Text rows whose mask is all False count as "no text": the tower's learned null token stands in.
    """

    latent: Tensor  # noisy: [B,C,T,h,w] or [B,C,L]
    times: Tensor  # centre of each latent in seconds, [T] or [L]
    t: Tensor  # [B], 1 is data
    text: Tensor  # [B,N,E]
    text_mask: Tensor  # [B,N] bool, True at real tokens
    condition: Tensor | None = None  # video only: [B,C,T,h,w], black where nothing is known
    mask: Tensor | None = None  # video only: [B,1,T,h,w], 1 = keep
    references: References | None = None  # what is seen or heard before the clip
    # video only: single frames, each a latent of its own, of another resolution: [B,C,K,H,W]
    keyframes: "Media | None" = None

    def at(self, latent: Tensor, t: Tensor) -> "Media":
        """The same with another latent and t: what `replace` does, in a tenth of its time.

        A sampler makes two of them a step.
        """
        other = object.__new__(Media)
        other.__dict__.update(self.__dict__, latent=latent, t=t)
        return other


@dataclass(frozen=True)
class Context:
    """The tokens of references, which come before those of the clip."""

    tokens: Tensor  # [B,R,channels]
    there: Tensor  # [B,R] bool, False where a sample has fewer
    rotation: Rotation  # [B,1,R,D]
    rotation_time: Rotation  # [B,1,R,D]


@dataclass(frozen=True)
class State:
    """A tower's tokens inside the network and what stays fixed over its depth."""

    media: Tensor  # [B,K,W], references first
    text: Tensor  # [B,N,W]
    vector: Tensor  # [B,W] from t and pooled text, activated
    rotation: Rotation  # [K+N,D], text not rotated
    rotation_time: Rotation  # [K,D], by time alone, for the exchange
    bias: Tensor  # [B,1,1,K+N]
    references: int = 0  # how many of the K tokens are of references
    clean: Tensor | None = None  # [B,W], the vector of references: their t is 1
    shards: Shards | None = None  # ranks over which the media tokens lie; here is one share
    grid: Grid | None = None  # of the clip's tokens, which then attend sparsely

    @property
    def tokens(self) -> int:
        """K."""
        return self.media.shape[1]

    @property
    def media_bias(self) -> Tensor | None:
        """Bias [B,1,1,K] for who reads the media tokens; None when all of them are there."""
        return self.bias[..., : self.tokens] if self.references else None

    def with_lists(self, lists: list[Tensor]) -> "State":
        """Replace the tokens: media and text apart, or concatenated."""
        if len(lists) == 1:
            lists = list(lists[0].split([self.tokens, self.text.shape[1]], dim=1))
        return replace(self, media=lists[0], text=lists[1])


class TowerBlock(nn.Module):
    """One tower's part of a block; dual-stream, or single-stream when `text_stream` is None."""

    def __init__(
        self, config: ModelConfig, dual: bool, text_cross: bool, sparse: float = 0.0
    ) -> None:
        super().__init__()
        self.share = sparse  # of cubes; a retrofit lowers it step by step
        self.coarse_gate = nn.Linear(config.width, config.width) if sparse else None
        self.stream = Stream(config, parallel=config.parallel_single and not dual)
        self.text_stream = Stream(config) if dual else None
        self.reads_text = CrossAttention(config.width, config.heads) if text_cross else None

    @property
    def streams(self) -> list[Stream]:
        """Media and text stream, or the one they share."""
        return [self.stream] if self.text_stream is None else [self.stream, self.text_stream]

    def modulations(self, state: State) -> list[Modulation]:
        """One for each stream; the tokens of references have that of their own t."""
        found = [stream.modulations(state.vector) for stream in self.streams]
        if state.clean is not None:
            total = state.tokens + (state.text.shape[1] if self.text_stream is None else 0)
            clean = self.stream.modulations(state.clean)
            found[0] = apart(clean, state.references, found[0], total)
        return found

    def token_lists(self, state: State) -> list[Tensor]:
        """One for each stream."""
        if self.text_stream is None:
            return [torch.cat([state.media, state.text], dim=1)]
        return [state.media, state.text]

    def attention(self, state: State, by: list[Modulation]) -> State:
        """Joint self-attention of media and text, then text cross-attention."""
        lists = self.token_lists(state)
        heads = [s.pre_attention(x, m) for s, x, m in zip(self.streams, lists, by, strict=True)]
        query, key, value = (torch.cat(each, dim=2) for each in zip(*heads, strict=True))
        if state.shards is not None:
            heads_of = query, key, value
            text = state.text.shape[1]
            attended = joint_attention(state.shards, heads_of, text, state.rotation, state.bias)
            return self.attended(state, lists, attended, by)
        query, key = rotate(query, state.rotation), rotate(key, state.rotation)
        if state.grid is None or self.coarse_gate is None:
            attended = attend(query, key, value, state.bias)  # [B,K+N,W]
        else:
            attended = self.sparse(state, Heads(query, key, value, state.bias, state.references))
        return self.attended(state, lists, attended, by)

    def attended(
        self, state: State, lists: list[Tensor], attended: Tensor, by: list[Modulation]
    ) -> State:
        """The state after attention gave [B,K+N,W], and after text cross-attention."""
        pieces = attended.split([x.shape[1] for x in lists], dim=1)
        state = state.with_lists(
            [
                s.post_attention(x, a, m)
                for s, x, a, m in zip(self.streams, lists, pieces, by, strict=True)
            ]
        )
        if self.reads_text is None:
            return state
        text_bias = state.bias[..., state.bias.shape[-1] - state.text.shape[1] :]
        read = self.reads_text(state.media, state.text, bias=text_bias)
        return replace(state, media=state.media + read)

    def sparse(self, state: State, heads: Heads) -> Tensor:
        """Attention of cubes [B,K+N,W]: what is read finely and, through its gate, coarsely."""
        assert state.grid is not None
        assert self.coarse_gate is not None
        fine, coarse = cube_attention(heads, state.grid, self.share)
        first, count = state.references, coarse.shape[1]
        clip = state.media[:, first : first + count]
        gate = self.coarse_gate(functional.layer_norm(clip, clip.shape[-1:]))
        return fine + functional.pad(gate * coarse, (0, 0, first, fine.shape[1] - first - count))

    def mlp(self, state: State, by: list[Modulation]) -> State:
        """The MLP of each token list."""
        lists = self.token_lists(state)
        return state.with_lists(
            [s.mlp(x, m) for s, x, m in zip(self.streams, lists, by, strict=True)]
        )


class Tower(nn.Module):
    """The entry and exit of one modality: embeddings, conditioning vector, output head."""

    def __init__(self, config: ModelConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        width = config.width
        self.media_in = nn.Linear(channels_in, width)
        self.text_in = nn.Linear(config.text_dim, width)
        self.null_text = nn.Parameter(torch.empty(width))
        self.config = config
        self.t_in = small_mlp(config.t_channels, width)
        pooled = config.pooled_dim
        self.pooled_in = small_mlp(pooled, width) if pooled else nn.Linear(width, width)
        self.guidance_in = small_mlp(config.t_channels, width) if config.guidance else None
        self.text_refiner = TextRefiner(config) if config.text_refiner else None
        self.head_modulation = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, channels_out)

    def embed(
        self,
        media: Media,
        tokens: Tensor,
        rotation: Rotation,
        rotation_time: Rotation,
        context: Context | None = None,
    ) -> State:
        """Tokens [B,K,channels] and text as the first state, after references where there are."""
        features, real = media.text, media.text_mask
        summary = None
        if self.config.pooled_dim:
            summary, features, real = split_pooled(features, real, self.config.pooled_dim)
        text, mask = self.embed_text(features, real)
        pooled = mean(text, mask) if summary is None else summary
        if self.text_refiner is not None:
            code = sinusoids(media.t, self.config.t_channels).to(text.dtype)
            text = self.text_refiner(text, mask, mean(features, real), code)
        bias = text_bias(mask, tokens.shape[1], tokens.dtype)
        clean = None
        if context is not None:
            tokens = torch.cat([context.tokens, tokens], dim=1)
            rotation = rotation.after(context.rotation)
            rotation_time = rotation_time.after(context.rotation_time)
            bias = torch.cat([key_bias(context.there, tokens.dtype), bias], dim=-1)
            clean = self.vector(torch.ones_like(media.t), pooled)
        return State(
            media=self.media_in(tokens),
            text=text,
            vector=self.vector(media.t, pooled),
            rotation=rotation.pad(text.shape[1]),
            rotation_time=rotation_time,
            bias=bias,
            references=0 if context is None else context.tokens.shape[1],
            clean=clean,
        )

    def vector(self, t: Tensor, pooled: Tensor) -> Tensor:
        """Conditioning vector [B,W] of t [B] and pooled text [B,W]."""
        channels = self.config.t_channels
        whole = self.t_in(sinusoids(t, channels).to(pooled.dtype)) + self.pooled_in(pooled)
        if self.guidance_in is not None:
            told = torch.full_like(t, self.config.guidance)
            whole = whole + self.guidance_in(sinusoids(told, channels).to(pooled.dtype))
        return functional.silu(whole)

    def embed_text(self, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Text tokens [B,N,W] and mask [B,N], with the null token in rows that have no text."""
        if text.shape[1] == 0:
            text, mask = functional.pad(text, (0, 0, 0, 1)), functional.pad(mask, (0, 1))
        empty = ~mask.any(dim=1, keepdim=True)  # [B,1]
        first = functional.pad(empty, (0, text.shape[1] - 1))  # [B,N]
        embedded = torch.where(first[..., None], self.null_text, self.text_in(text))
        return embedded, mask | first

    def output(self, state: State) -> Tensor:
        """Velocity of each media token of the clip, [B,K,channels]; references have none."""
        shift, scale = self.head_modulation(state.vector)[:, None].chunk(2, dim=-1)
        return self.head(modulate(state.media[:, state.references :], shift, scale))


def small_mlp(channels_in: int, width: int) -> nn.Sequential:
    """Two layers for one vector."""
    return nn.Sequential(nn.Linear(channels_in, width), nn.SiLU(), nn.Linear(width, width))


def mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean [B,W] of the real tokens of x [B,N,W]; zero where there are none."""
    total = reduce(x * mask[..., None], "b n w -> b w", "sum")
    return total / mask.sum(1, keepdim=True).clamp_min(1)


def split_pooled(text: Tensor, mask: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pooled vector [B,channels] of the first row, zero where there is none; and the rest."""
    if text.shape[1] == 0:
        return text.new_zeros(len(text), channels), text, mask
    return text[:, 0, :channels] * mask[:, :1], text[:, 1:], mask[:, 1:]


def sinusoids(t: Tensor, channels: int) -> Tensor:
    """Code [B, channels] of t in 0..1: cosines, then sines."""
    steps = torch.arange(channels // 2, device=t.device) / (channels // 2)
    angle = t.float()[:, None] * T_SCALE * torch.exp(-math.log(10_000) * steps)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
