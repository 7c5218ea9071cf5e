"""What a model of a size costs: tokens, weights, FLOPs, memory of a GPU and seconds.

  reelmill plan model 1b 8b --resolution [480p,1080p] --seconds [5,15] --fps 16

Without a size all are planned. Needs no recipe, no GPU and no memory: weights are counted on the
meta device, the rest is arithmetic (docs/model.md has the formulae). After the clips comes the
paper's way to 1080p, 32 fps and 15 s (base, keyframes, refiner) beside one pass at full size.
"""

from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from curation.files import write_json
from curation.progress import say
from curation.settings import Settings
from jobs.cli import DONE, describe_fields, split_words
from jobs.config import RecipeError, parse_value, put
from jobs.plan_model_lines import lines
from jobs.training.config import Scalar
from model.config import SIZES, ModelConfig, named_config
from model.flops import BACKWARD, forward_flops, token_counts
from model.footprint import STAGES, activations, count_weights, states
from model.geometry import AudioSpec, Geometry, VideoSpec
from model.route import Pass, Plan, passes

TAKES_RECIPE = False
ASPECT = 16 / 9
RESOLUTIONS = {"256p": 256, "360p": 360, "480p": 480, "720p": 720, "1080p": 1080}
Resolution = Literal["256p", "360p", "480p", "720p", "1080p"]


class RouteSettings(BaseModel):
    """The way to a large clip: a small base with large keyframes, then a refiner."""

    low: Resolution = Field("480p", description="size of the base's frames")
    low_fps: float = Field(16, gt=0, description="frames a second of the base")
    high: Resolution = Field("1080p", description="size of keyframes and refined frames")
    high_fps: float = Field(32, gt=0, description="frames a second of the refined clip")
    seconds: float = Field(15, gt=0, description="length of the clip")
    keyframes: int = Field(15, ge=0, description="large frames in the base's sequence")
    share: float = Field(0.1, gt=0, le=1, description="of cubes in the refiner's fine attention")
    refiner_steps: int = Field(8, ge=1, description="sampler steps of the refiner, unguided")


class ModelPlan(Settings):
    """Settings of `reelmill plan model`."""

    resolution: tuple[Resolution, ...] = Field(
        ("256p", "480p", "720p", "1080p"), description="sizes of the picture, 16:9, one or a list"
    )
    seconds: tuple[float, ...] = Field((5.0, 15.0), description="lengths, one or a list")
    fps: tuple[float, ...] = Field((16.0,), description="frames a second, one or a list")
    make: Literal["both", "picture", "sound"] = Field("both", description="which towers run")
    text: int = Field(256, ge=0, description="text tokens")
    batch: int = Field(1, ge=1, description="clips a GPU has at a time")
    gpus: int = Field(8, ge=1, description="GPUs that ZeRO shares states over")
    dtype: Literal["bfloat16", "float32"] = Field("bfloat16", description="of the forward pass")
    zero: Literal[0, 1, 2, 3] = Field(2, description="ZeRO stage of the sum in the clips' table")
    mfu: float = Field(0.4, gt=0, le=1, description="share of `peak` that the model's FLOPs reach")
    peak: float = Field(989.0, gt=0, description="dense TFLOP/s of a GPU (H100 SXM bfloat16: 989)")
    steps: int = Field(50, ge=1, description="sampler steps")
    passes: int = Field(2, ge=1, le=4, description="forward passes a sampler step, 2 with guidance")
    vae_space: Literal[8, 16, 32] = Field(8, description="pixels a latent row or column covers")
    vae_time: int = Field(4, ge=1, description="frames a latent covers")
    audio_rate: int = Field(44_100, ge=1, description="samples a second of the audio autoencoder")
    audio_hop: int = Field(1_024, ge=1, description="samples an audio latent covers")
    model: dict[str, Scalar] = Field(
        default_factory=dict, description="model fields that replace those of the size"
    )
    route: RouteSettings = Field(default_factory=RouteSettings)
    out: Path | None = Field(None, description="JSON file that gets the same figures")

    @field_validator("resolution", "seconds", "fps", mode="before")
    @classmethod
    def _one_or_a_list(cls, value: Any) -> Any:  # noqa: ANN401 - whatever was given
        return value if isinstance(value, list | tuple) else (value,)

    @property
    def half(self) -> bool:
        """Whether two bytes hold a number."""
        return self.dtype == "bfloat16"

    def geometry(self, config: ModelConfig, name: str, seconds: float, fps: float) -> Geometry:
        """A clip whose sides are the nearest whole tokens, its length the nearest whole latents."""
        block = self.vae_space * config.patch
        height = int(RESOLUTIONS[name] / block + 0.5) * block
        width = int(RESOLUTIONS[name] * ASPECT / block + 0.5) * block
        frames = 1 + self.vae_time * max(1, round(seconds * fps / self.vae_time))
        return Geometry(
            frames,
            height,
            width,
            fps,
            VideoSpec(config.video_channels, self.vae_time, self.vae_space),
            AudioSpec(config.audio_channels, self.audio_rate, self.audio_hop),
        )


def run(words: list[str]) -> int:
    """Print the plan of each size that is named. Raises RecipeError for a wrong request."""
    if {"-h", "--help"} & set(words):
        say("\n".join([__doc__ or "", *describe_fields(ModelPlan, "")]))
        return DONE
    sizes, overrides = split_words(words)
    settings = read_settings(overrides)
    figures: dict[str, Any] = {"settings": settings.model_dump(mode="json"), "sizes": {}}
    for size in sizes or SIZES:
        try:
            config = named_config(size, **settings.model)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"plan model: {error}") from error
        found = plan(config, settings)
        figures["sizes"][size] = found
        for line in lines(size, found):
            say(line)
    if settings.out:
        write_json(settings.out, figures)
        say(f"plan: {settings.out}")
    return DONE


def read_settings(overrides: dict[str, str]) -> ModelPlan:
    """Settings from `--dotted.field value`. Raises RecipeError naming the fields."""
    values: dict[str, Any] = {}
    for dotted, text in overrides.items():
        put(values, dotted, parse_value(text))
    try:
        return ModelPlan(**values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise RecipeError(f"plan model: {wrong}") from error


def plan(config: ModelConfig, settings: ModelPlan) -> dict[str, Any]:
    """All figures of one size."""
    weights = count_weights(config)
    held = {
        f"zero_{stage}": vars(states(weights.total, stage, settings.gpus, settings.half))
        for stage in STAGES
    }
    grid = product(settings.resolution, settings.seconds, settings.fps)
    return {
        "asked": settings.model_dump(mode="json"),
        "config": config.to_json(),
        "weights": {**vars(weights), "total": weights.total},
        "states": held,
        "clips": [clip(config, settings, name, seconds, fps) for name, seconds, fps in grid],
        "route": [figures(step, settings) for step in route(config, settings)],
    }


def clip(
    config: ModelConfig, settings: ModelPlan, name: str, seconds: float, fps: float
) -> dict[str, Any]:
    """One training step on clips of one geometry."""
    video, audio = token_counts(config, settings.geometry(config, name, seconds, fps))
    video = 0 if settings.make == "sound" else video
    audio = 0 if settings.make == "picture" else audio
    forward = settings.batch * forward_flops(config, video, audio, settings.text)
    size = settings.batch * (2 if settings.half else 4)
    kept = {
        name: size * activations(config, video, audio, settings.text, checkpointed=checkpointed)
        for name, checkpointed in (("activations", False), ("checkpointed", True))
    }
    return {
        "clip": f"{name} {seconds:g} s {fps:g} fps",
        "video": video,
        "audio": audio,
        "forward": forward,
        "training": (1 + BACKWARD) * forward,
        **kept,
        "step_seconds": seconds_of((1 + BACKWARD) * forward, settings),
        "clip_seconds": seconds_of(
            settings.steps * settings.passes * forward / settings.batch, settings
        ),
    }


def seconds_of(flops: float, settings: ModelPlan) -> float:
    """Time on one GPU at the stated share of its peak."""
    return flops / (settings.mfu * settings.peak * 1e12)


def route(config: ModelConfig, settings: ModelPlan) -> list[Pass]:
    """The paper's way beside one pass at full size."""
    r = settings.route
    return passes(
        config,
        Plan(
            settings.geometry(config, r.low, r.seconds, r.low_fps),
            settings.geometry(config, r.high, r.seconds, r.high_fps),
            r.keyframes,
            settings.text,
            r.share,
            settings.steps,
            r.refiner_steps,
            settings.passes,
        ),
    )


def figures(step: Pass, settings: ModelPlan) -> dict[str, Any]:
    """One model of the route."""
    return {
        "name": step.name,
        "video": step.video,
        "audio": step.audio,
        "forward": step.forward,
        "training": step.training,
        "checkpointed": step.kept * (2 if settings.half else 4),
        "evaluations": step.evaluations,
        "clip_seconds": seconds_of(step.sampling, settings),
    }
