"""Sizes of the joint model: a small frozen value, and the named ones as data."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

CLOCKS = ("seconds", "paper", "latents")
EXCHANGES = ("audio_first", "video_first", "at_once", "none")
# Fields that came later: a card names them only where they say something, so that older cards and
# what a resumed run must share stay as they are.
LATER = (
    "clock_fps", "t_channels", "text_refiner", "pooled_dim", "guidance", "parallel_single",
    "blank_zero", "keyframes", "sound", "sparse", "exchange",
)  # fmt: skip


@dataclass(frozen=True)
class ModelConfig:
    """Everything that shapes the weights. Both towers share width, heads and depth.

    SkyReels-V4 §3.1 gives the block types and their order; width, heads, M : N = 1 : 2 and the
    rope split are ours (research/skyreels_v4.md §5). Raises ValueError naming field and fix.
    """

    width: int
    heads: int
    dual: int  # M dual-stream blocks
    single: int  # N single-stream blocks
    video_channels: int = 16
    audio_channels: int = 32
    text_dim: int = 384
    patch: int = 2  # latent rows and columns a video token covers; time is never patched
    mlp_ratio: int = 4
    text_cross_audio: bool = True  # text cross-attention in the audio tower too (paper: ambiguous)
    exchange: str = "audio_first"  # who reads the other tower first (paper: audio), or nobody does
    clock: str = "seconds"  # or "paper": token index, audio times 21/218; or "latents": index
    rope_split: tuple[int, int, int] = (16, 56, 56)  # share of the head for time, rows, columns
    rope_base: float = 10_000.0  # slowest frequency is 1/base of the fastest
    rope_time: float = 1.0  # fastest frequency on the time axis, radians a quarter second
    clock_fps: float = (
        24.0  # on the clock "latents": frames a second at which latents are one apart
    )
    sparse: float = 0.0  # share of cubes that picture tokens read (model/sparse.py); 0: dense
    # What donors have and the paper does not name (model/donors.py)
    t_channels: int = 128  # of the sinusoidal code of t
    text_refiner: int = 0  # blocks of self-attention over text before the tower
    pooled_dim: int = (
        0  # of a pooled text vector, the first of the text's rows; 0: the mean of text
    )
    guidance: float = 0.0  # what a distilled donor is told that guidance is; 0: nothing
    parallel_single: bool = False  # attention and MLP of single-stream blocks side by side
    blank_zero: bool = False  # the condition is zero, not as given, where nothing is kept
    keyframes: bool = False  # takes keyframes beside the video: one learned mark tells them apart
    sound: bool = True  # has an audio tower; a refiner has none

    def __post_init__(self) -> None:
        object.__setattr__(self, "rope_split", tuple(self.rope_split))  # lists after JSON
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"width={self.width} must be heads={self.heads} times an even head size"
            )
        if self.head_dim < 6:
            raise ValueError(f"head size {self.head_dim} is below 6: three rope axes need two each")
        if self.dual + self.single < 1 or min(self.dual, self.single) < 0:
            raise ValueError(f"dual={self.dual}, single={self.single}: at least one block needed")
        if self.clock not in CLOCKS:
            raise ValueError(f"clock={self.clock!r} must be one of {', '.join(CLOCKS)}")
        if self.exchange not in EXCHANGES:
            raise ValueError(f"exchange={self.exchange!r} must be one of {', '.join(EXCHANGES)}")
        if len(self.rope_split) != 3 or min(self.rope_split) < 1:
            raise ValueError(f"rope_split={self.rope_split} must be three positive numbers")
        if self.rope_base <= 1 or self.rope_time <= 0:
            raise ValueError(
                f"rope_base={self.rope_base} must be above 1, rope_time={self.rope_time} above 0"
            )
        if min(self.video_channels, self.audio_channels, self.text_dim, self.patch) < 1:
            raise ValueError("video_channels, audio_channels, text_dim and patch must be positive")
        if self.t_channels < 2 or self.t_channels % 2:
            raise ValueError(f"t_channels={self.t_channels} must be even and positive")
        if not 0 <= self.pooled_dim <= self.text_dim:
            raise ValueError(f"pooled_dim={self.pooled_dim} must lie in 0 to {self.text_dim}")
        if not 0 <= self.sparse <= 1:
            raise ValueError(f"sparse={self.sparse} must be a share, 0 to 1")
        if self.text_refiner < 0 or self.guidance < 0 or self.clock_fps <= 0:
            raise ValueError("text_refiner and guidance must not be negative, clock_fps above 0")

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads

    def to_json(self) -> dict[str, Any]:
        """Plain values for `model.json`; `ModelConfig(**values)` is the way back."""
        values = asdict(self) | {"rope_split": list(self.rope_split)}
        plain = {f.name: f.default for f in fields(self) if f.name in LATER}
        return {k: v for k, v in values.items() if k not in plain or v != plain[k]}


SIZES = {
    "tiny": ModelConfig(
        width=96, heads=2, dual=1, single=2, mlp_ratio=3, rope_base=100.0, rope_time=3.0
    ),
    "test": ModelConfig(width=128, heads=2, dual=2, single=4),
    "0.2b": ModelConfig(width=512, heads=4, dual=4, single=8),
    "1b": ModelConfig(width=1024, heads=8, dual=6, single=12),
    "8b": ModelConfig(width=2048, heads=16, dual=10, single=20),
    # HunyuanVideo: 13 B are its picture tower, without the text cross-attention that is new here
    "13b": ModelConfig(
        width=3072,
        heads=24,
        dual=20,
        single=40,
        text_dim=4096,
        clock="latents",
        rope_base=256.0,
        t_channels=256,
        text_refiner=2,
        pooled_dim=768,
        guidance=6.0,
        parallel_single=True,
    ),
    "36b": ModelConfig(width=3072, heads=24, dual=20, single=40),
}


def named_config(size: str, **changes: Any) -> ModelConfig:  # noqa: ANN401 - any config field
    """The config of a named size with some fields changed, e.g. `audio_channels=40`."""
    if size not in SIZES:
        raise ValueError(f"size={size!r} must be one of {', '.join(SIZES)}")
    return replace(SIZES[size], **changes)
