"""What a training run is made of. Every field is read by the code beside this file."""

from typing import Literal, Self

from pydantic import Field, model_validator

from curation.settings import Settings
from jobs.training.distil_config import DistilConfig
from jobs.training.init_config import InitConfig
from jobs.training.lora_config import LoraConfig
from jobs.training.mix_config import CaptionMix, LossWeights, TaskMix
from jobs.training.offload_config import OffloadConfig
from jobs.training.outlier_config import OutlierConfig

Scalar = bool | int | float | str


class JointKeyframes(Settings):
    """Keyframes of higher resolution that are denoised with the clip (SkyReels-V4 §4.5)."""

    rendition: str = Field("keyframes", description="a rendition with `stills`")
    weight: float = Field(1.0, ge=0, description="weight of their squared error in the loss")


class Refine(Settings):
    """What a refiner makes sharp: a small rendition of the clip, upsampled to `train.rendition`."""

    low: str = Field("base", description="the rendition it is given")
    keyframes: str | None = Field(
        None,
        description="a rendition with `stills`, of the size of `train.rendition`, put in place",
    )
    dropped: float = Field(
        0.3, ge=0, le=1, description="share of samples that are given no keyframes"
    )
    noise: float = Field(
        0.1, ge=0, le=2, description="largest deviation of the noise on what it is given"
    )


class Retrofit(Settings):
    """How a dense model becomes sparse: the share of cubes falls from 1 to `model.sparse`."""

    by: float = Field(0.03, gt=0, le=1, description="by how much the share falls at a time")
    every: int = Field(30, ge=1, description="optimizer steps between two falls")


class TrainConfig(Settings):
    """Settings of `reelmill train`."""

    size: str = Field("tiny", description="model size by name; see model/config.py")
    model: dict[str, Scalar] = Field(
        default_factory=dict, description="model fields that replace those of the size"
    )
    init: InitConfig = Field(default_factory=InitConfig)
    freeze: tuple[str, ...] = Field(
        (),
        description="parameters that are not trained: video or audio for a tower, or patterns like "
        "blocks.0.*",
    )
    lora: LoraConfig | None = Field(
        None, description="train adapters {rank, alpha, modules} beside the weights of `init`"
    )
    rendition: str = Field("base", description="which rendition of the shards is trained on")
    keyframes: JointKeyframes | None = Field(
        None, description="denoise keyframes together with the clip"
    )
    retrofit: Retrofit | None = Field(
        None, description="make attention sparse step by step; without it `model.sparse` at once"
    )
    refine: Refine | None = Field(
        None, description="train a refiner of pictures instead of a generator"
    )
    distil: DistilConfig | None = Field(
        None, description="train a student that takes few steps where its teacher takes many"
    )
    steps: int = Field(2000, ge=1, description="optimizer steps of the whole run")
    epochs: float | None = Field(
        None, gt=0, description="passes over the data, in place of `steps`"
    )
    epoch_scale: float = Field(
        1.0, gt=0, description="factor of `epochs`: 0.001 tries a long recipe or a chain of them"
    )
    global_batch: int = Field(
        32, ge=1, description="samples a step over all workers, at the reference bucket"
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="samples of a forward pass; a worker's share of the global batch goes through "
        "in parts of about this size. None: in one",
    )
    tasks: TaskMix = Field(default_factory=TaskMix)
    captions: CaptionMix = Field(default_factory=CaptionMix)
    density: Literal["uniform", "logit_normal"] = Field(
        "uniform", description="how noise levels are drawn (SkyReels-V4 §3.3: uniform)"
    )
    loss: LossWeights = Field(default_factory=LossWeights)

    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="muon takes the matrices inside blocks, adamw the rest"
    )
    lr: float = Field(1e-3, gt=0, le=1, description="peak learning rate of AdamW")
    muon_lr: float = Field(0.02, gt=0, le=1, description="peak learning rate of Muon's matrices")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "cosine", description="how the rate falls after the warm-up"
    )
    final_lr: float = Field(0.1, ge=0, le=1, description="rate at the last step, share of the peak")
    warmup: int = Field(100, ge=0, description="steps from zero to the peak rate")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's two decay rates")
    weight_decay: float = Field(0.01, ge=0, description="decay of matrices; vectors have none")
    clip: float = Field(
        1.0, gt=0, description="largest norm of the gradient over all weights; Muon clips nothing"
    )
    ema: float = Field(0.999, ge=0, lt=1, description="decay of the averaged weights")
    max_bad_steps: int = Field(
        5, ge=1, description="steps in a row that are skipped, after which the job stops"
    )
    outlier: OutlierConfig | None = Field(
        None, description="skip steps of far too large a gradient {times, window, after}"
    )

    validate_every: int = Field(250, ge=0, description="steps between held-out losses; 0 never")
    validate_samples: int = Field(32, ge=1, description="held-out clips per validation")
    sample_every: int = Field(500, ge=0, description="steps between sample clips; 0 never")
    sample_prompts: tuple[str, ...] = Field(
        (), description="prompts of the sample clips; empty takes captions of held-out clips"
    )
    sample_count: int = Field(2, ge=1, le=16, description="sample clips when no prompt is given")
    sample_steps: int = Field(25, ge=1, description="sampler steps of the sample clips")
    sample_guidance: float = Field(3.0, ge=0, description="text guidance of the sample clips")
    checkpoint_every: int = Field(250, ge=1, description="steps between checkpoints")
    keep_last: int = Field(2, ge=1, description="complete checkpoints that are kept")

    workers: int = Field(2, ge=1, description="Ray Train workers")
    min_workers: int | None = Field(
        None,
        ge=1,
        description="go on with as few as this when nodes are lost, and with more when they are "
        "back; none: wait for all `workers`",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="cuda gives each worker one GPU")
    threads: int = Field(1, ge=1, description="CPU threads of a worker")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="type of forward and backward; master weights are float32"
    )
    recompute: Literal["none", "block", "selective"] = Field(
        "none",
        description="activations computed again in the backward pass to save memory: all of a "
        "block's, or all but attention's",
    )
    compile: bool = Field(False, description="compile each block (torch.compile); for device: cuda")
    zero: Literal[0, 1, 2, 3] = Field(
        1,
        description="DeepSpeed ZeRO: 1 shards optimizer state, 2 gradients too, 3 weights too; "
        "0 nothing",
    )
    offload: OffloadConfig | None = Field(
        None, description="keep what ZeRO shards in the host's memory {optimizer, weights, path}"
    )
    max_failures: int = Field(2, ge=0, description="worker failures survived from the checkpoint")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.global_batch < self.workers:
            raise ValueError(
                f"global_batch={self.global_batch} must be at least workers={self.workers}"
            )
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers={self.min_workers} is above workers={self.workers}")
        if self.compile and self.device == "cpu":
            raise ValueError("compile is for device: cuda; on a CPU it takes longer than it saves")
        if self.zero == 0 and self.dtype != "float32":
            raise ValueError(f"zero=0 keeps no float32 master of {self.dtype} weights; use zero=1")
        if self.offload:
            self.offload.check(self.zero, self.optimizer)
        if self.outlier and self.optimizer == "muon":
            raise ValueError("outlier: muon's updates have one size whatever the gradient's is")
        if not any(self.tasks.model_dump().values()):
            raise ValueError("tasks: at least one weight must be above 0")
        if not any((self.captions.short, self.captions.long, self.captions.structured)):
            raise ValueError("captions: at least one of short, long, structured must be above 0")
        if self.refine and self.keyframes:
            raise ValueError("refine and keyframes are two trainings; give refine.keyframes")
        of_sound = self.tasks.video_to_audio, self.tasks.audio_to_video, self.tasks.text_to_audio
        if self.refine and any(of_sound):
            raise ValueError(
                "refine makes no sound: tasks of one modality from the other must be 0"
            )
        if not (self.loss.video or self.loss.audio):
            raise ValueError("loss: at least one of video and audio must be above 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas={self.betas} must be at least 0 and below 1")
        return self


# What may differ between the two halves of a resumed run. Everything else is the run's identity.
FREE = frozenset(
    {
        "steps",
        "epochs",
        "epoch_scale",
        "validate_every",
        "validate_samples",
        "sample_every",
        "sample_prompts",
        "sample_count",
        "sample_steps",
        "sample_guidance",
        "checkpoint_every",
        "keep_last",
        "device",
        "threads",
        "micro_batch",
        "workers",
        "min_workers",
        "zero",
        "offload",
        "recompute",
        "compile",
        "max_failures",
        "max_bad_steps",
    }
)
