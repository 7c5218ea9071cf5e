"""Two MMDiT towers, one for picture and one for sound, that read each other in every block.

SkyReels-V4 §3.1: M dual-stream blocks, then N single-stream blocks. Order in a block: joint
self-attention of media and text, text cross-attention, audio reads video, video reads the audio
just updated, MLP. Every path beyond plain attention starts at zero.

Letters: B batch, C latent channels, T video latents, h w latent rows and columns, p patch,
K keyframes of H x W latents, L audio latents.
"""

from collections.abc import Iterable
from dataclasses import replace

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from model import shards
from model.attention import CrossAttention, HeadNorm
from model.config import ModelConfig
from model.recompute import Recompute, run
from model.references import References
from model.rope import Rotation, positions, time_rotation, video_rotation
from model.stream import Stream
from model.text_refiner import RefinerBlock, TextRefiner
from model.tower import Context, Media, State, Tower, TowerBlock


class Block(nn.Module):
    """Both towers' blocks of one depth and the exchange between them."""

    def __init__(self, config: ModelConfig, dual: bool) -> None:
        super().__init__()
        self.order = config.exchange
        self.video = TowerBlock(config, dual, text_cross=True, sparse=config.sparse)
        if not config.sound:
            return
        self.audio = TowerBlock(config, dual, text_cross=config.text_cross_audio)
        if self.order == "none":
            return
        self.audio_reads_video = CrossAttention(config.width, config.heads)
        self.video_reads_audio = CrossAttention(config.width, config.heads)

    def forward(
        self, video: State | None, audio: State | None
    ) -> tuple[State | None, State | None]:
        """Attention, exchange, MLP."""
        video_by = self.video.modulations(video) if video else []
        audio_by = self.audio.modulations(audio) if audio else []
        video = self.video.attention(video, video_by) if video else None
        audio = self.audio.attention(audio, audio_by) if audio else None
        if video and audio and self.order != "none":
            video, audio = self.exchange(video, audio)
        return (
            self.video.mlp(video, video_by) if video else None,
            self.audio.mlp(audio, audio_by) if audio else None,
        )

    def exchange(self, video: State, audio: State) -> tuple[State, State]:
        """Each reads the other: audio first, and video the audio just updated, as in the paper; or
        the other way round, or both what was there before (Ovi's order).
        """
        if self.order == "video_first":
            video = reads(self.video_reads_audio, video, audio)
            return video, reads(self.audio_reads_video, audio, video)
        heard = reads(self.audio_reads_video, audio, video)
        source = audio if self.order == "at_once" else heard
        return reads(self.video_reads_audio, video, source), heard


def reads(attention: CrossAttention, reader: State, source: State) -> State:
    """The reader's media tokens read the source's, both rotated by time alone."""
    mine = reader.rotation_time
    if reader.shards is not None:
        mine = Rotation(reader.shards.chunk(mine.cos, 0), reader.shards.chunk(mine.sin, 0))
    rotations = mine, source.rotation_time
    if source.shards is not None:
        read = shards.read(source.shards, attention, reader.media, source.media, rotations)
    else:
        read = attention(reader.media, source.media, rotations, bias=source.media_bias)
    return replace(reader, media=reader.media + read)


class MMDiT(nn.Module):
    """The joint video-and-audio generator. Either modality may be absent."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.shards: shards.Shards | None = None  # ranks that share the picture's tokens
        self.recompute: Recompute = "none"  # what a training run computes again to save memory
        area = config.patch**2
        self.video = Tower(
            config, (2 * config.video_channels + 1) * area, config.video_channels * area
        )
        if config.keyframes:
            self.keyframe_mark = nn.Parameter(torch.zeros(config.width))
        if config.sound:
            self.audio = Tower(config, config.audio_channels, config.audio_channels)
        kinds = [True] * config.dual + [False] * config.single
        self.blocks = nn.ModuleList(Block(config, dual) for dual in kinds)
        initialise(self)

    def forward(self, video: Media | None, audio: Media | None) -> tuple[Tensor | None, ...]:
        """Velocities [B,C,T,h,w] and [B,C,L], None for an absent modality; where the video has
        keyframes a third, [B,C,K,H,W], is theirs.
        """
        if video is None and audio is None:
            raise ValueError("the model needs a video, an audio or both")
        if audio is not None and not self.config.sound:
            raise ValueError("this model has no audio tower (model.sound is false); give no audio")
        video_state = self.embed_video(video) if video else None
        audio_state = self.embed_audio(audio) if audio else None
        if video_state and self.shards:
            video_state = self.share_out(video_state, self.shards)
        for block in self.blocks:
            video_state, audio_state = run(block, self.recompute, video_state, audio_state)
        if video_state and self.shards:
            video_state = replace(video_state, media=self.shards.gather(video_state.media, 1))
        picture, keyframes, sound = None, [], None
        if video and video_state:
            picture, *keyframes = self.pictures(self.video.output(video_state), video)
        if audio_state:
            sound = rearrange(self.audio.output(audio_state), "b l c -> b c l")
        return picture, sound, *keyframes

    def share_out(self, state: State, ranks: shards.Shards) -> State:
        """The state with the share of the picture's tokens that this rank holds."""
        if state.references or self.config.sparse:
            raise ValueError("references and sparse attention know no sequence parallelism")
        shards.check(ranks, state.tokens, self.config.heads)
        return replace(state, media=ranks.chunk(state.media, 1), shards=ranks)

    def embed_video(self, video: Media) -> State:
        """Tokens of the video and, after them, of its keyframes, as one sequence.

        Keyframes keep the video's clock and its units of space, so that the same place at the same
        time has the same position at both resolutions; a learned mark, 0 at first, tells them
        apart (choice; the paper names the joint task only; the mark is LTX-2.5's).
        """
        h, w = video.latent.shape[-2:]
        context = self.video_context(video.references, h, w) if video.references else None
        tokens, turn, turn_time = self.place(video, video)
        cubes = (len(video.times), *grid(video.latent, self.config.patch))
        if video.keyframes is None:
            return replace(self.video.embed(video, tokens, turn, turn_time, context), grid=cubes)
        if not self.config.keyframes:
            raise ValueError("this model knows no keyframes; set model.keyframes")
        more, turn_more, turn_time_more = self.place(video.keyframes, video)
        both = torch.cat([tokens, more], dim=1)
        turns = turn.join(turn_more), turn_time.join(turn_time_more)
        state = self.video.embed(video, both, *turns, context)
        first = state.references + tokens.shape[1]
        known, marked = state.media.split([first, more.shape[1]], dim=1)
        media = torch.cat([known, marked + self.keyframe_mark], dim=1)
        return replace(state, media=media, grid=cubes)

    def place(self, picture: Media, video: Media) -> tuple[Tensor, Rotation, Rotation]:
        """Tokens of a picture and where they are on the video's axes."""
        c = self.config
        if picture.condition is None or picture.mask is None:
            raise ValueError("video needs a condition and a mask; model.conditions makes them")
        (rows, cols), of = (grid(media.latent, c.patch) for media in (picture, video))
        instants = None if picture is video else video.times
        where = c.rope_time * positions(picture.times, c.clock, False, c.clock_fps, instants)
        told = picture.condition * picture.mask if c.blank_zero else picture.condition
        return (
            self.patches(picture.latent, told, picture.mask),
            video_rotation(where, rows, cols, c.head_dim, c.rope_split, c.rope_base, of),
            time_rotation(where, c.head_dim, c.rope_base, space=rows * cols),
        )

    def patches(self, latent: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        """Latent, condition [B,C,T,h,w] and mask [B,1,T,h,w] as tokens [B,K,(2C+1)*p*p]."""
        p = self.config.patch
        stacked = torch.cat([latent, condition, mask], dim=1)  # [B,2C+1,T,h,w]
        return rearrange(stacked, "b c t (h p) (w q) -> b (t h w) (c p q)", p=p, q=p)

    def video_context(self, references: References, h: int, w: int) -> Context:
        """Reference pictures as tokens, known all over."""
        c, known = self.config, references.latent
        if known.shape[-2:] != (h, w):
            raise ValueError(
                f"reference latents of {known.shape[-1]}x{known.shape[-2]} must have the clip's "
                f"size, {w}x{h}"
            )
        rows, cols = h // c.patch, w // c.patch
        where = (c.rope_time * references.positions(c.clock, False, c.clock_fps)).flatten()
        turn = video_rotation(where, rows, cols, c.head_dim, c.rope_split, c.rope_base)
        turn_time = time_rotation(where, c.head_dim, c.rope_base, space=rows * cols)
        return Context(
            self.patches(known, known, torch.ones_like(known[:, :1])),
            repeat(references.there, "b r -> b (r s)", s=rows * cols),
            turn.by_row(len(known)),
            turn_time.by_row(len(known)),
        )

    def embed_audio(self, audio: Media) -> State:
        """One token a latent."""
        c = self.config
        where = c.rope_time * positions(audio.times, c.clock, audio=True, fps=c.clock_fps)
        turn = time_rotation(where, c.head_dim, c.rope_base)
        tokens = rearrange(audio.latent, "b c l -> b l c")
        context = self.audio_context(audio.references) if audio.references else None
        return self.audio.embed(audio, tokens, turn, turn, context)

    def audio_context(self, references: References) -> Context:
        """Reference sounds as tokens."""
        c = self.config
        where = c.rope_time * references.positions(c.clock, True, c.clock_fps)
        turn = time_rotation(where.flatten(), c.head_dim, c.rope_base).by_row(len(where))
        tokens = rearrange(references.latent, "b c r -> b r c")
        return Context(tokens, references.there, turn, turn)

    def pictures(self, tokens: Tensor, video: Media) -> list[Tensor]:
        """Tokens back to the grids of the video's latent and of its keyframes'."""
        media = [video, *([video.keyframes] if video.keyframes else [])]
        counts = [m.latent[0, 0].numel() // self.config.patch**2 for m in media]
        pieces = tokens.split(counts, dim=1)
        return [self.unpatch(x, m.latent) for x, m in zip(pieces, media, strict=True)]

    def unpatch(self, tokens: Tensor, latent: Tensor) -> Tensor:
        """Tokens back to the latent's grid."""
        p = self.config.patch
        _, _, T, h, w = latent.shape
        return rearrange(
            tokens, "b (t h w) (c p q) -> b c t (h p) (w q)", t=T, h=h // p, w=w // p, p=p, q=p
        )


def grid(latent: Tensor, patch: int) -> tuple[int, int]:
    """Rows and columns of tokens of a latent [B,C,T,h,w]."""
    h, w = latent.shape[-2:]
    if h % patch or w % patch:
        raise ValueError(f"latent of {w}x{h} must be a multiple of patch={patch}")
    return h // patch, w // patch


def ready(config: ModelConfig, weights: dict[str, Tensor], device: torch.device) -> MMDiT:
    """A model to be asked, not trained. Its weights take memory once: none are drawn first.

    Raises RuntimeError where names or shapes are not the model's.
    """
    with torch.device("meta"):
        model = MMDiT(config)
    # to the device by itself: a file's mapped pages have its alignment, which shows in last bits
    own = {name: tensor.to(device, copy=True) for name, tensor in weights.items()}
    model.load_state_dict(own, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def initialise(model: MMDiT) -> None:
    """Set every weight: Xavier for projections, ones for norms, zeros for gates and new paths.

    Zero gates make a fresh block the identity, zero outputs of text and audio-video attention let
    the towers start apart, the zero head makes the first velocity 0.
    """
    if next(model.parameters()).is_meta:  # has no values; torch would import its compiler for them
        return
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
        elif isinstance(module, TextRefiner):
            nn.init.zeros_(module.kind)
    for layer in zero_layers(model):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def set_share(model: nn.Module, share: float) -> None:
    """Let sparse blocks read so large a share of the cubes."""
    for module in model.modules():
        if isinstance(module, TowerBlock):
            module.share = share


def zero_layers(model: MMDiT) -> Iterable[nn.Linear]:
    """The layers that start at zero."""
    for module in model.modules():
        if isinstance(module, Stream):
            yield module.modulation
        elif isinstance(module, TowerBlock) and module.coarse_gate is not None:
            yield module.coarse_gate
        elif isinstance(module, CrossAttention):
            yield module.out
        elif isinstance(module, Tower):
            yield from (module.head_modulation, module.head)
        elif isinstance(module, RefinerBlock):
            yield module.gates
