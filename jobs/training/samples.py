"""Sample clips during training, spread over the workers: the same noise every time, so that a
prompt's clips show what the steps changed.
"""

from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from curation.progress import say
from jobs.clips import Decoders, Sampling, Scene, decode, sample
from jobs.training import ranks
from jobs.training.run import Run
from jobs.training.step import VARIANTS
from model.geometry import Geometry
from model.guidance import Guidance
from model.mmdit import MMDiT
from model.noise import Draw


def make_samples(run: Run, model: MMDiT) -> list[str]:
    """Write `samples/step-00000100/00.mp4` …; their paths relative to `out`. Collective."""
    out, config = Path(run.job.out), run.job.config
    folder = out / "samples" / f"step-{run.counters.step:08d}"
    wanted = texts(run)
    mine = range(ranks.rank(), len(wanted), ranks.world())
    decoders = load_decoders(run.job.card) if mine else None
    guidance = Guidance(config.sample_guidance, config.sample_guidance)
    sampling = Sampling(config.sample_steps, guidance)
    files = []
    for number in mine:
        assert decoders is not None
        text, bucket, geometry = wanted[number]
        black = run.objective.constants[f"black.{config.rendition}.{bucket}"]
        scene = Scene(geometry, text, Draw(run.job.seed, f"sample-{number}", 0))
        picture, sound = sample(model, scene, black.to(run.engine.device), sampling)
        path = folder / f"{number:02d}.mp4"
        try:
            decode(decoders, picture.cpu(), sound.cpu(), geometry).write(path)
        except ValueError as error:  # a wild latent early on; a film to look at stops no training
            say(f"warning: sample {number} of step {run.counters.step} is not a film: {error}")
            continue
        files.append(str(path.relative_to(out)))
    return sorted(chain.from_iterable(ranks.gather(files)))


def texts(run: Run) -> list[tuple[Tensor, str, Geometry]]:
    """Text features, bucket and geometry of each sample clip: of the prompts, or held-out clips."""
    rendition = run.job.config.rendition
    if run.job.texts or not run.held_out:
        bucket = main_bucket(run.stream.contract)
        given = run.job.texts or (torch.zeros(0, run.job.model.text_dim),)
        return [(text, bucket, run.reader.geometry[bucket][rendition]) for text in given]
    rows = run.held_out[: run.job.config.sample_count]
    found = []
    for clip in [run.reader.sample(row) for row in rows]:
        known = [clip.text[name] for name in VARIANTS if name in clip.text]
        text = known[0] if known else torch.zeros(0, run.job.model.text_dim)
        found.append((text, clip.bucket, run.reader.geometry[clip.bucket][rendition]))
    return found


def main_bucket(contract: dict[str, dict[str, dict[str, int]]]) -> str:
    """The bucket with most training samples."""
    buckets = contract["buckets"]
    return max(sorted(buckets), key=lambda name: buckets[name]["train"])


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
