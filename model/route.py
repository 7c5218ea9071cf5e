"""The paper's way to 1080p, 32 fps and 15 s, in tokens and FLOPs, beside one pass over everything.

SkyReels-V4 §4.5: the base makes all frames small and some keyframes large in one sequence; the
refiner, a copy of the picture tower, makes every frame large, from the upsampled base with the
keyframes in place, under sparse attention (VSA). Sizes, spacing and steps are ours (docs/model.md).

Letters: video, audio, text are token counts of one sample.
"""

from dataclasses import dataclass, replace

from model.config import ModelConfig
from model.flops import BACKWARD, forward_flops, token_counts
from model.footprint import activations
from model.geometry import Geometry


@dataclass(frozen=True)
class Pass:
    """One model in the route."""

    name: str
    video: int
    audio: int
    forward: int  # FLOPs of one forward pass
    kept: int  # elements kept for a backward pass, checkpointed by block
    evaluations: int  # forward passes to make a clip

    @property
    def training(self) -> int:
        """FLOPs of a training step on one clip."""
        return (1 + BACKWARD) * self.forward

    @property
    def sampling(self) -> int:
        """FLOPs to make one clip."""
        return self.evaluations * self.forward


@dataclass(frozen=True)
class Plan:
    """What is made, and how often each model is asked."""

    low: Geometry
    high: Geometry
    keyframes: int
    text: int
    share: float  # of the cubes that the refiner's fine attention reads
    steps: int
    refiner_steps: int
    passes: int = 2  # a step: with and without text


def keyframe_tokens(config: ModelConfig, high: Geometry, keyframes: int) -> int:
    """Tokens of keyframes: each is one latent frame of the large size."""
    _, _, h, w = high.video_shape
    return keyframes * (h // config.patch) * (w // config.patch)


def passes(config: ModelConfig, plan: Plan) -> list[Pass]:
    """Full resolution at once; then the base, and the refiner with dense and sparse attention."""
    full, sound = token_counts(config, plan.high)
    small, _ = token_counts(config, plan.low)
    base = small + keyframe_tokens(config, plan.high, plan.keyframes)
    often, seldom = plan.steps * plan.passes, plan.refiner_steps

    def joint(name: str, video: int) -> Pass:
        forward = forward_flops(config, video, sound, plan.text)
        kept = activations(config, video, sound, plan.text, checkpointed=True)
        return Pass(name, video, sound, forward, kept, often)

    def refiner(name: str, share: float) -> Pass:
        forward = forward_flops(replace(config, sparse=share), full, 0, plan.text)
        kept = activations(config, full, 0, plan.text, checkpointed=True)
        return Pass(name, full, 0, forward, kept, seldom)

    return [
        joint("all at full size", full),
        joint("base and keyframes", base),
        refiner("refiner, dense", 0.0),
        refiner("refiner, sparse", plan.share),
    ]
