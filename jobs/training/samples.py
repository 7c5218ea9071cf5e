"""Sample clips during training, spread over the workers: the same noise every time, so that a
prompt's clips show what the steps changed.
"""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from curation.progress import say
from jobs.clips import Decoders, Sampling, Scene, Stills, decode, sample
from jobs.training import ranks
from jobs.training.run import Run
from jobs.training.sharpen import unknown
from jobs.training.step import VARIANTS
from model.guidance import Guidance
from model.mmdit import MMDiT
from model.noise import Draw
from pipelines.contract import trained_most
from pipelines.stream import Sample


@dataclass(frozen=True)
class Wanted:
    """One sample clip: what to make, on what, and the sound of what has none of its own."""

    scene: Scene
    black: Tensor
    sound: Tensor


def make_samples(run: Run, model: MMDiT) -> list[str]:
    """Write `samples/step-00000100/00.mp4` …; their paths relative to `out`. Collective."""
    out, config = Path(run.job.out), run.job.config
    folder = out / "samples" / f"step-{run.counters.step:08d}"
    everything = wanted(run)
    mine = range(ranks.rank(), len(everything), ranks.world())
    decoders = load_decoders(run.job.card) if mine else None
    guidance = Guidance(config.sample_guidance, config.sample_guidance)
    sampling = Sampling(config.sample_steps, guidance)
    if config.distil:
        sampling = Sampling(config.distil.steps, Guidance(), config.distil.shift)
    files = []
    for number in mine:
        assert decoders is not None
        one = everything[number]
        made = sample(model, one.scene, one.black.to(run.engine.device), sampling)
        assert made.picture is not None
        sound = one.sound if made.sound is None else made.sound
        path = folder / f"{number:02d}.mp4"
        try:
            decode(decoders, made.picture.cpu(), sound.cpu(), one.scene.geometry).write(path)
        except ValueError as error:  # a wild latent early on; a film to look at stops no training
            say(f"warning: sample {number} of step {run.counters.step} is not a film: {error}")
            continue
        files.append(str(path.relative_to(out)))
    return sorted(chain.from_iterable(ranks.gather(files)))


def wanted(run: Run) -> list[Wanted]:
    """The sample clips: of the prompts, or of held-out clips; a refiner takes only these."""
    config, constants = run.job.config, run.objective.constants
    refines = config.refine is not None
    clips: list[tuple[Tensor, str, Sample | None]]
    if (run.job.texts or not run.held_out) and not refines:
        bucket = trained_most(run.stream.contract["buckets"])
        prompts = run.job.texts or (torch.zeros(0, run.job.model.text_dim),)
        clips = [(text, bucket, None) for text in prompts]
    else:
        held_out = [run.reader.sample(row) for row in run.held_out[: config.sample_count]]
        clips = [(text_of(clip, run.job.model.text_dim), clip.bucket, clip) for clip in held_out]
    found = []
    for number, (text, bucket, clip) in enumerate(clips):
        draw = Draw(run.job.seed, f"sample-{number}", 0)
        shapes, sound = run.reader.geometry[bucket], constants[f"silence.{bucket}"]
        black = constants[f"black.{config.rendition}.{bucket}"]
        if refines and clip is not None:
            black = unknown([clip], [draw], run.objective, black, plain=True)[0]
            sound = sound if clip.audio is None else clip.audio
        stills = None
        if config.keyframes:
            name = config.keyframes.rendition
            stills = Stills(shapes[name], constants[f"black.{name}.{bucket}"])
        shape = shapes[config.rendition]
        scene = Scene(shape, text, draw, stills=stills, silent=refines)
        found.append(Wanted(scene, black, sound))
    return found


def text_of(clip: Sample, dim: int) -> Tensor:
    """The shortest caption's features."""
    known = [clip.text[name] for name in VARIANTS if name in clip.text]
    return known[0] if known else torch.zeros(0, dim)


def load_decoders(card: dict[str, dict[str, str]]) -> Decoders:
    """The autoencoders a model was trained on. Raises ValueError when theirs is another print."""
    from model.vae import load_audio_vae, load_video_vae  # noqa: PLC0415

    loaded = Decoders(
        load_video_vae(card["video_vae"]["name"]), load_audio_vae(card["audio_vae"]["name"])
    )
    for kind, vae in (("video_vae", loaded.video), ("audio_vae", loaded.audio)):
        if vae.fingerprint != card[kind]["fingerprint"]:
            raise ValueError(
                f"{kind} {card[kind]['name']!r} has fingerprint {vae.fingerprint}, the latents "
                f"were made with {card[kind]['fingerprint']}; give the shard set's autoencoder"
            )
    return loaded
