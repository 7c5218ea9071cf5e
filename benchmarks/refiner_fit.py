"""Training of the refiner's benchmark by the training's own step, on a clock of CPU seconds.

What is trained is kept in a file, so that a stopped run goes on.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.refiner_films import CPU, NOTHING, Clip
from curation.files import atomic
from curation.progress import progress
from jobs.training.config import Refine, TrainConfig
from jobs.training.mix_config import TaskMix
from jobs.training.optimizer import make_optimizer, rate
from jobs.training.step import losses, make_batch, weighted
from jobs.training.tasks import Objective, counts
from model.config import named_config
from model.mmdit import MMDiT
from pipelines.stream import Sample

SAVE_EVERY = 60.0  # seconds of CPU
SCHEDULE = 10_000  # steps of the learning rate's schedule, which runs on the clock
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Fit:
    """A model on its way: weights, their average, and how far it is."""

    model: MMDiT
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0  # of CPU
    loss: float = 0.0  # running mean

    def save(self, path: Path) -> None:
        """Write everything that the next step reads."""
        tensors = {f"average.{name}": x for name, x in self.average.items()}
        for name, p in self.model.named_parameters():
            tensors[f"model.{name}"] = p.detach()
            tensors |= {f"{m}.{name}": self.optimizer.state[p][m] for m in MOMENTS}
        facts = {name: repr(getattr(self, name)) for name in ("step", "seconds", "loss")}
        with atomic(path) as temporary:
            save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata=facts)

    def load(self, path: Path) -> None:
        """Go on from a file of `save`."""
        with safe_open(path, framework="pt") as file, torch.no_grad():
            facts = file.metadata()
            self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
            self.loss = float(facts["loss"])
            for name, p in self.model.named_parameters():
                p.copy_(file.get_tensor(f"model.{name}"))
                self.average[name].copy_(file.get_tensor(f"average.{name}"))
                moments = {m: file.get_tensor(f"{m}.{name}") for m in MOMENTS}
                self.optimizer.state[p] = {"step": torch.tensor(float(self.step)), **moments}

    def averaged(self) -> MMDiT:
        """The model with its average in place, for inference."""
        self.model.load_state_dict(self.average)
        return self.model.eval().requires_grad_(requires_grad=False)


def recipe(batch: int) -> TrainConfig:
    """How the benchmark trains a refiner."""
    return TrainConfig(
        rendition="high",
        refine=Refine(keyframes="keyframes", dropped=0.5, noise=0.1),
        tasks=TaskMix(text_to_av=1, image_to_av=0, extend=0),
        lr=4e-3, warmup=50, schedule="cosine", final_lr=0.02, workers=1, steps=SCHEDULE,
        global_batch=batch,
    )  # fmt: skip


def train(clips: list[Clip], config: TrainConfig, minutes: float, path: Path | None) -> Fit:
    """A refiner trained for `minutes` of CPU in all; `path` holds what is there already."""
    torch.manual_seed(0)
    shape = named_config("tiny", sound=False)
    model = MMDiT(shape)
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit = Fit(model, average, make_optimizer(model, config))
    if path and path.is_file():
        fit.load(path)
    objective = Objective(
        config, 0, {"black.high.clip": NOTHING}, shape.text_dim, CPU, torch.float32
    )
    order = walk(len(clips), config.global_batch, fit.step)
    whole, saved, begun = 60 * minutes, fit.seconds, time.process_time() - fit.seconds
    with progress("refiner", int(whole), "s") as advance:
        advance(int(fit.seconds))
        while fit.seconds < whole:
            samples = [replaced(clips[row].sample, visit) for row, visit in next(order)]
            batch = make_batch(samples, objective, shape, audio=False)
            loss = weighted(losses(model, batch), config, counts(samples, objective))
            take(fit, loss, config, fit.seconds / whole)
            before, fit.seconds = fit.seconds, time.process_time() - begun
            advance(int(fit.seconds) - int(before), f"{fit.loss:.3f}")
            if path and fit.seconds - saved > SAVE_EVERY:
                fit.save(path)
                saved = fit.seconds
    if path and fit.seconds > saved:
        fit.save(path)
    return fit


def take(fit: Fit, loss: Tensor, config: TrainConfig, done: float) -> None:
    """One optimizer step; `done` is the share of the clock that is over."""
    loss.backward()
    at = max(config.warmup, int(done * SCHEDULE))
    for group in fit.optimizer.param_groups:
        group["lr"] = min(rate(config, fit.step), rate(config, at))
    torch.nn.utils.clip_grad_norm_(fit.model.parameters(), config.clip)
    fit.optimizer.step()
    fit.optimizer.zero_grad()
    fit.step += 1
    decay = min(0.995, (1 + fit.step) / (10 + fit.step))
    with torch.no_grad():
        for name, p in fit.model.named_parameters():
            fit.average[name].lerp_(p, 1 - decay)
    shown = float(loss.detach())
    fit.loss = shown if fit.step == 1 else 0.98 * fit.loss + 0.02 * shown


def walk(clips: int, batch: int, begin: int) -> Iterator[list[tuple[int, int]]]:
    """Rows with their visit, in shuffled epochs, from batch `begin` on."""
    visit, skip = divmod(begin, clips // batch)
    while True:
        order = np.random.default_rng([1, visit]).permutation(clips)
        for start in range(skip * batch, clips - batch + 1, batch):
            yield [(int(row), visit) for row in order[start : start + batch]]
        visit, skip = visit + 1, 0


def replaced(sample: Sample, visit: int) -> Sample:
    """The sample at another visit."""
    return Sample(**{**vars(sample), "visit": visit})
