"""Sizes of the joint model: a small frozen value, and the named ones as data."""

from dataclasses import asdict, dataclass, replace
from typing import Any

CLOCKS = ("seconds", "paper")


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
    clock: str = "seconds"  # or "paper": token index, audio times 21/218
    rope_split: tuple[int, int, int] = (16, 56, 56)  # share of the head for time, rows, columns
    rope_base: float = 10_000.0  # slowest frequency is 1/base of the fastest
    rope_time: float = 1.0  # fastest frequency on the time axis, radians a quarter second

    def __post_init__(self) -> None:
        object.__setattr__(self, "rope_split", tuple(self.rope_split))  # lists after JSON
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"width={self.width} must be heads={self.heads} times an even head size"
            )
        if self.head_dim < 6:
            raise ValueError(f"head size {self.head_dim} is below 6: three rope axes need two each")
        if self.single < 1 or self.dual < 0:
            raise ValueError(
                f"dual={self.dual}, single={self.single}: at least one single-stream block needed"
            )
        if self.clock not in CLOCKS:
            raise ValueError(f"clock={self.clock!r} must be one of {', '.join(CLOCKS)}")
        if len(self.rope_split) != 3 or min(self.rope_split) < 1:
            raise ValueError(f"rope_split={self.rope_split} must be three positive numbers")
        if self.rope_base <= 1 or self.rope_time <= 0:
            raise ValueError(
                f"rope_base={self.rope_base} must be above 1, rope_time={self.rope_time} above 0"
            )
        if min(self.video_channels, self.audio_channels, self.text_dim, self.patch) < 1:
            raise ValueError("video_channels, audio_channels, text_dim and patch must be positive")

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads

    def to_json(self) -> dict[str, Any]:
        """Plain values for `model.json`; `ModelConfig(**values)` is the way back."""
        return asdict(self) | {"rope_split": list(self.rope_split)}


SIZES = {
    "tiny": ModelConfig(
        width=96, heads=2, dual=1, single=2, mlp_ratio=3, rope_base=100.0, rope_time=3.0
    ),
    "test": ModelConfig(width=128, heads=2, dual=2, single=4),
    "0.2b": ModelConfig(width=512, heads=4, dual=4, single=8),
    "1b": ModelConfig(width=1024, heads=8, dual=6, single=12),
    "8b": ModelConfig(width=2048, heads=16, dual=10, single=20),
    "36b": ModelConfig(width=3072, heads=24, dual=20, single=40),
}


def named_config(size: str, **changes: Any) -> ModelConfig:  # noqa: ANN401 - any config field
    """The config of a named size with some fields changed, e.g. `audio_channels=40`."""
    if size not in SIZES:
        raise ValueError(f"size={size!r} must be one of {', '.join(SIZES)}")
    return replace(SIZES[size], **changes)
