"""The teacher of a few-step student in the training loop: a frozen copy beside the trained model.

Every rank holds it whole, in the type of forward passes; no optimizer, average or checkpoint knows
it. What a step asks of it follows from the batch, so a resumed run needs nothing but its weights.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curation.files import sha256_file
from jobs.training import checkpoint
from jobs.training.config import TrainConfig
from jobs.training.distil_config import GUIDED, DistilConfig
from jobs.training.start import StartError, source
from jobs.training.step import Batch, Forward
from model.config import ModelConfig
from model.distil import Phases, phases, targets
from model.guidance import Guidance, guide
from model.mmdit import ready
from model.tower import Media

SAME = ("video_channels", "audio_channels", "text_dim", "patch")


@dataclass(frozen=True)
class Distiller:
    """A guided teacher and the student's phases on its way."""

    teacher: Forward
    way: Phases
    ahead: int
    passes: int  # forward passes of a step besides the student's own

    def retarget(self, batch: Batch, student: Forward, *, whole: bool = False) -> Batch:
        """The batch with what the student has to answer instead of the velocity noise -> data;
        `whole` asks the teacher for all of each phase.
        """
        true = (batch.video_target, batch.audio_target, batch.keyframes_target)
        given: tuple[Tensor | None, ...] = true
        if batch.video is None or batch.video.keyframes is None:
            given = true[:2]
        wanted = targets(
            self.teacher,
            student,
            (batch.video, batch.audio),
            given,
            batch.t.to(self.way.times),
            self.way,
            self.way.length if whole else self.ahead,
        )
        picture, sound, keyframes = (*wanted, None)[:3]
        return replace(batch, video_target=picture, audio_target=sound, keyframes_target=keyframes)


def guidance_of(config: TrainConfig) -> Guidance:
    """How the teacher is guided."""
    assert config.distil is not None
    video, audio = config.distil.guidance_video, config.distil.guidance_audio
    plain = 1.0 if config.refine else GUIDED
    return Guidance(plain if video is None else video, plain if audio is None else audio)


def load(config: TrainConfig, device: torch.device, dtype: torch.dtype) -> Distiller:
    """The teacher of a run, ready to be asked. Raises CheckpointError."""
    assert config.distil is not None
    folder = folder_of(config.distil)
    found = checkpoint.read_weights(folder)
    model = ready(ModelConfig(**found.card["model"]), found.tensors, device).to(dtype)

    def asked(video: Media | None, audio: Media | None) -> tuple[Tensor | None, ...]:
        return model(as_type(video, dtype), as_type(audio, dtype))

    few, guidance = config.distil, guidance_of(config)
    way = phases(few.steps, few.teacher_steps, few.shift)
    ahead = min(few.ahead, way.length)
    passes = ahead * (1 + guidance.by_text) + (ahead < way.length)
    return Distiller(guide(asked, guidance), way, ahead, passes)


def folder_of(config: DistilConfig) -> Path:
    """The teacher's step folder, from the root: workers run elsewhere. Raises StartError."""
    if not config.teacher:
        raise StartError("train.distil.teacher is empty; give the folder of the run that teaches")
    path = source(Path(config.teacher), "train.distil.teacher")
    if not (path.parent / "model.json").is_file():
        raise StartError(
            f"train.distil.teacher: {config.teacher} is no run's or step's folder; a teacher needs "
            "its card beside its weights"
        )
    return path.parent.resolve()


def check(config: TrainConfig, model: ModelConfig) -> str:
    """The sha256 of the teacher's weights. Raises StartError when it cannot teach this model."""
    assert config.distil is not None
    folder = folder_of(config.distil)
    card = checkpoint.read_card(folder)
    teacher = ModelConfig(**card["model"])
    for name in SAME:
        ours, theirs = getattr(model, name), getattr(teacher, name)
        if ours != theirs:
            raise StartError(f"train.distil.teacher: {folder} has {name} {theirs}, not {ours}")
    for name, asked, there in (
        ("is no refiner; set train.distil.teacher to one", config.refine, "refine" in card),
        ("is a refiner; train.refine is not set", not config.refine, "refine" not in card),
        ("knows no keyframes; take out train.keyframes", config.keyframes, teacher.keyframes),
        ("makes no sound; set train.model.sound to false", model.sound, teacher.sound),
    ):
        if asked and not there:
            raise StartError(f"train.distil.teacher: {folder} {name}")
    return sha256_file(folder / "ema.safetensors")


def card_of(config: TrainConfig) -> dict[str, Any]:
    """What a student's card says, by which `generate` makes clips."""
    if config.distil is None:
        return {}
    guidance = guidance_of(config)
    return {
        "distil": {
            "steps": config.distil.steps,
            "shift": config.distil.shift,
            "guidance_video": guidance.video,
            "guidance_audio": guidance.audio,
        }
    }


def as_type(media: Media | None, dtype: torch.dtype) -> Media | None:
    """A modality with its latents and text in another type."""
    if media is None or media.latent.dtype == dtype:
        return media
    known, mask = media.condition, media.mask
    return replace(
        media,
        latent=media.latent.to(dtype),
        text=media.text.to(dtype),
        condition=None if known is None else known.to(dtype),
        mask=None if mask is None else mask.to(dtype),
        references=media.references and media.references.to(media.latent.device, dtype),
        keyframes=as_type(media.keyframes, dtype),
    )
