"""Two MMDiT towers, one for picture and one for sound, that read each other in every block.

SkyReels-V4 §3.1: M dual-stream blocks, then N single-stream blocks. Order in a block: joint
self-attention of media and text, text cross-attention, audio reads video, video reads the audio
just updated, MLP. Every path beyond plain attention starts at zero.

Letters: B batch, C latent channels, T video latents, h w latent rows and columns, p patch,
L audio latents, K media tokens, N text tokens, E text channels, W width.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

from model.attention import CrossAttention, HeadNorm, attend, text_bias
from model.config import ModelConfig
from model.rope import Rotation, positions, rotate, time_rotation, video_rotation
from model.stream import Modulation, Stream, modulate

T_CHANNELS = 128  # of the sinusoidal code of t
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


@dataclass(frozen=True)
class State:
    """A tower's tokens inside the network and what stays fixed over its depth."""

    media: Tensor  # [B,K,W]
    text: Tensor  # [B,N,W]
    vector: Tensor  # [B,W] from t and pooled text, activated
    rotation: Rotation  # [K+N,D], text not rotated
    rotation_time: Rotation  # [K,D], by time alone, for the exchange
    bias: Tensor  # [B,1,1,K+N]

    @property
    def tokens(self) -> int:
        """K."""
        return self.media.shape[1]


class TowerBlock(nn.Module):
    """One tower's part of a block; dual-stream, or single-stream when `text_stream` is None."""

    def __init__(self, config: ModelConfig, dual: bool, text_cross: bool) -> None:
        super().__init__()
        self.stream = Stream(config)
        self.text_stream = Stream(config) if dual else None
        self.reads_text = CrossAttention(config.width, config.heads) if text_cross else None

    def parts(self, state: State) -> list[tuple[Stream, Tensor, Modulation]]:
        """(stream, tokens, modulation) of each separately processed token list."""
        if self.text_stream is None:
            both = torch.cat([state.media, state.text], dim=1)
            return [(self.stream, both, self.stream.modulations(state.vector))]
        return [
            (self.stream, state.media, self.stream.modulations(state.vector)),
            (self.text_stream, state.text, self.text_stream.modulations(state.vector)),
        ]

    def attention(self, state: State) -> State:
        """Joint self-attention of media and text, then text cross-attention."""
        parts = self.parts(state)
        heads = [stream.pre_attention(x, by) for stream, x, by in parts]
        query, key, value = (torch.cat(each, dim=2) for each in zip(*heads, strict=True))
        query, key = rotate(query, state.rotation), rotate(key, state.rotation)
        attended = attend(query, key, value, state.bias)  # [B,K+N,W]
        pieces = attended.split([x.shape[1] for _, x, _ in parts], dim=1)
        done = [s.post_attention(x, a, by) for (s, x, by), a in zip(parts, pieces, strict=True)]
        media, text = torch.cat(done, dim=1).split([state.tokens, state.text.shape[1]], dim=1)
        if self.reads_text is not None:
            media = media + self.reads_text(media, text, bias=state.bias[..., state.tokens :])
        return replace(state, media=media, text=text)

    def mlp(self, state: State) -> State:
        """The MLP of each token list."""
        done = [stream.mlp(x, by) for stream, x, by in self.parts(state)]
        media, text = torch.cat(done, dim=1).split([state.tokens, state.text.shape[1]], dim=1)
        return replace(state, media=media, text=text)


class Block(nn.Module):
    """Both towers' blocks of one depth and the exchange between them."""

    def __init__(self, config: ModelConfig, dual: bool) -> None:
        super().__init__()
        self.video = TowerBlock(config, dual, text_cross=True)
        self.audio = TowerBlock(config, dual, text_cross=config.text_cross_audio)
        self.audio_reads_video = CrossAttention(config.width, config.heads)
        self.video_reads_audio = CrossAttention(config.width, config.heads)

    def forward(
        self, video: State | None, audio: State | None
    ) -> tuple[State | None, State | None]:
        """Attention, exchange (audio first; video reads the updated audio), MLP."""
        video = self.video.attention(video) if video else None
        audio = self.audio.attention(audio) if audio else None
        if video and audio:
            audio = reads(self.audio_reads_video, audio, video)
            video = reads(self.video_reads_audio, video, audio)
        return (
            self.video.mlp(video) if video else None,
            self.audio.mlp(audio) if audio else None,
        )


def reads(attention: CrossAttention, reader: State, source: State) -> State:
    """The reader's media tokens read the source's, both rotated by time alone."""
    rotations = reader.rotation_time, source.rotation_time
    return replace(reader, media=reader.media + attention(reader.media, source.media, rotations))


class Tower(nn.Module):
    """The entry and exit of one modality: embeddings, conditioning vector, output head."""

    def __init__(self, config: ModelConfig, channels_in: int, channels_out: int) -> None:
        super().__init__()
        width = config.width
        self.media_in = nn.Linear(channels_in, width)
        self.text_in = nn.Linear(config.text_dim, width)
        self.null_text = nn.Parameter(torch.empty(width))
        self.t_in = nn.Sequential(nn.Linear(T_CHANNELS, width), nn.SiLU(), nn.Linear(width, width))
        self.pooled_in = nn.Linear(width, width)
        self.head_modulation = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, channels_out)

    def embed(
        self, media: Media, tokens: Tensor, rotation: Rotation, rotation_time: Rotation
    ) -> State:
        """Tokens [B,K,channels] and text as the first state."""
        text, mask = self.embed_text(media.text, media.text_mask)
        pooled = reduce(text * mask[..., None], "b n w -> b w", "sum") / mask.sum(1, keepdim=True)
        code = sinusoids(media.t).to(tokens.dtype)
        return State(
            media=self.media_in(tokens),
            text=text,
            vector=functional.silu(self.t_in(code) + self.pooled_in(pooled)),
            rotation=rotation.pad(text.shape[1]),
            rotation_time=rotation_time,
            bias=text_bias(mask, tokens.shape[1], tokens.dtype),
        )

    def embed_text(self, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Text tokens [B,N,W] and mask [B,N], with the null token in rows that have no text."""
        if text.shape[1] == 0:
            text, mask = functional.pad(text, (0, 0, 0, 1)), functional.pad(mask, (0, 1))
        empty = ~mask.any(dim=1, keepdim=True)  # [B,1]
        first = functional.pad(empty, (0, text.shape[1] - 1))  # [B,N]
        embedded = torch.where(first[..., None], self.null_text, self.text_in(text))
        return embedded, mask | first

    def output(self, state: State) -> Tensor:
        """Velocity of each media token, [B,K,channels]."""
        shift, scale = self.head_modulation(state.vector)[:, None].chunk(2, dim=-1)
        return self.head(modulate(state.media, shift, scale))


class MMDiT(nn.Module):
    """The joint video-and-audio generator. Either modality may be absent."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        area = config.patch**2
        self.video = Tower(
            config, (2 * config.video_channels + 1) * area, config.video_channels * area
        )
        self.audio = Tower(config, config.audio_channels, config.audio_channels)
        kinds = [True] * config.dual + [False] * config.single
        self.blocks = nn.ModuleList(Block(config, dual) for dual in kinds)
        initialise(self)

    def forward(
        self, video: Media | None, audio: Media | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Velocities [B,C,T,h,w] and [B,C,L]; None for an absent modality."""
        if video is None and audio is None:
            raise ValueError("the model needs a video, an audio or both")
        video_state = self.embed_video(video) if video else None
        audio_state = self.embed_audio(audio) if audio else None
        for block in self.blocks:
            video_state, audio_state = block(video_state, audio_state)
        return (
            self.unpatch(self.video.output(video_state), video) if video and video_state else None,
            rearrange(self.audio.output(audio_state), "b l c -> b c l") if audio_state else None,
        )

    def embed_video(self, video: Media) -> State:
        """Concatenate noisy latent, condition and mask on channels (2C+1), patch and embed."""
        if video.condition is None or video.mask is None:
            raise ValueError("video needs a condition and a mask; model.conditions makes them")
        c = self.config
        h, w = video.latent.shape[-2:]
        if h % c.patch or w % c.patch:
            raise ValueError(f"latent of {w}x{h} must be a multiple of patch={c.patch}")
        stacked = torch.cat([video.latent, video.condition, video.mask], dim=1)  # [B,2C+1,T,h,w]
        tokens = rearrange(stacked, "b c t (h p) (w q) -> b (t h w) (c p q)", p=c.patch, q=c.patch)
        rows, cols = h // c.patch, w // c.patch
        where = positions(video.times, c.clock, audio=False)
        return self.video.embed(
            video,
            tokens,
            video_rotation(where, rows, cols, c.head_dim, c.rope_split, c.rope_base),
            time_rotation(where, c.head_dim, c.rope_base, space=rows * cols),
        )

    def embed_audio(self, audio: Media) -> State:
        """One token a latent."""
        c = self.config
        where = positions(audio.times, c.clock, audio=True)
        turn = time_rotation(where, c.head_dim, c.rope_base)
        return self.audio.embed(audio, rearrange(audio.latent, "b c l -> b l c"), turn, turn)

    def unpatch(self, tokens: Tensor, video: Media) -> Tensor:
        """Tokens back to the latent's grid."""
        p = self.config.patch
        _, _, T, h, w = video.latent.shape
        return rearrange(
            tokens, "b (t h w) (c p q) -> b c t (h p) (w q)", t=T, h=h // p, w=w // p, p=p, q=p
        )


def sinusoids(t: Tensor) -> Tensor:
    """Code [B, T_CHANNELS] of t in 0..1."""
    steps = torch.arange(T_CHANNELS // 2, device=t.device) / (T_CHANNELS // 2)
    angle = t.float()[:, None] * T_SCALE * torch.exp(-math.log(10_000) * steps)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def initialise(model: MMDiT) -> None:
    """Set every weight: Xavier for projections, ones for norms, zeros for gates and new paths.

    Zero gates make a fresh block the identity, zero outputs of text and audio-video attention let
    the towers start apart, the zero head makes the first velocity 0.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, HeadNorm):
            nn.init.ones_(module.scale)
        elif isinstance(module, Tower):
            nn.init.normal_(module.null_text, std=0.02)
    for layer in zero_layers(model):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def zero_layers(model: MMDiT) -> Iterable[nn.Linear]:
    """The layers that start at zero."""
    for module in model.modules():
        if isinstance(module, Stream):
            yield module.modulation
        elif isinstance(module, CrossAttention):
            yield module.out
        elif isinstance(module, Tower):
            yield from (module.head_modulation, module.head)
