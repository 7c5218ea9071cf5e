"""Train the joint model on the recipe's shards with Ray Train and DeepSpeed ZeRO.

Ctrl-C (or SIGTERM) saves and stops after the step; a second one stops at once. Run the same command
again to go on from the newest complete checkpoint. `reelmill train
recipe.yaml fresh` moves what there is aside and starts at step 0. Curves are in
`<out>/metrics.jsonl` and MLflow.

A recipe with `stages` is a chain: each stage trains with its own fields of `train` from the weights
of the one before, in `<out>/stages/01-NAME`, an MLflow run below the chain's.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curation.files import write_text
from curation.places import Place
from curation.progress import say
from jobs.cli import DONE, FAILED, STOPPED, main_verb
from jobs.config import RESOLVED, Recipe, RecipeError, recipe_text
from jobs.training import checkpoint
from jobs.training.copies import copies_of, fetch_newest
from jobs.training.fit import fit, paused_at
from jobs.training.follow import following
from jobs.training.log import LOG
from jobs.training.prepare import make_job, target
from jobs.training.run import Job
from jobs.training.stages import FOLDER, place_of, settings
from jobs.training.track import Parent, Tracker
from jobs.training.whole import BASE, MERGED
from pipelines.contract import find_set

SECTIONS = ("train",)
MOVED = ("checkpoints", "samples", LOG, "run.json", RESOLVED, FOLDER, BASE, MERGED)


def run(recipe: Recipe, words: list[str]) -> int:
    """Train to `train.steps`; 0 when that step's checkpoint is there."""
    if words not in ([], ["fresh"]):
        raise RecipeError(f"train knows no word {words[0]!r}; `fresh` starts over at step 0")
    with only_one(recipe.out):
        if words:
            start_over(recipe)
        return train_stages(recipe) if recipe.stages else train(recipe)


def train_stages(recipe: Recipe) -> int:
    """A chain's stages one after the other; one that is finished is passed over."""
    for number, stage in enumerate(recipe.stages):
        say(f"stage {number + 1} of {len(recipe.stages)}: {stage.name}")
        last = number + 1 == len(recipe.stages)
        parent = Parent(recipe.name, recipe.out / "run.json", last=last)
        own = stage_recipe(recipe, number)
        with only_one(own.out):
            code = train(own, parent)
        if code:
            say(f"the chain stops in stage {stage.name}; the same command goes on there")
            return code
    final = stage_recipe(recipe, len(recipe.stages) - 1)
    say(f"the chain is finished; its model is used with --out {final.out}")
    return DONE


def stage_recipe(recipe: Recipe, number: int) -> Recipe:
    """The recipe of one stage: its own folder, the chain's data and tracking unless it has some."""
    stage = recipe.stages[number]
    previous = place_of(recipe.out, number - 1, recipe.stages[number - 1]) if number else None
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-{stage.name}".lower(),
            "out": place_of(recipe.out, number, stage),
            "storage": stage.storage or recipe.storage or str(recipe.out / "data"),
            "tracking": recipe.tracking_uri,
            "train": settings(recipe.train, stage, previous),
            "stages": (),
        }
    )


def train(recipe: Recipe, parent: Parent | None = None) -> int:
    """Prepare, run Ray Train while showing progress, and say what came of it."""
    shards = find_shards(recipe)
    job = make_job(recipe, shards)
    fetch_newest(recipe)
    start = resume_point(job)
    write_text(recipe.out / RESOLVED, recipe_text(recipe))
    tracker = Tracker(target(recipe, job, parent), job.log)
    tracker.start()
    if start >= job.config.steps:
        say(f"training is finished at step {start}; raise train.steps to go on")
        tracker.finish("FINISHED")
        return DONE
    begin = f"going on from step {start}" if start else "starting"
    say(f"train: {begin} with {recipe.train.workers} workers")
    begun = time.monotonic()
    status = "KILLED"
    try:
        with following(job.log, start, job.config.steps):
            trouble = fit(recipe, job)
        done = "KILLED" if paused_at(job) is not None else "FINISHED"
        status = "FAILED" if trouble else done
    finally:
        tracker.finish(status)
    if trouble:
        say(f"reelmill train: {trouble}")
        return FAILED
    if (paused := paused_at(job)) is not None:
        say(f"train: saved and stopped at step {paused}; the same command goes on there")
        return STOPPED
    say(f"trained to step {job.config.steps} in {time.monotonic() - begun:.0f} s: {job.folder}")
    return DONE


def find_shards(recipe: Recipe) -> Place:
    """The newest finished shard set of the recipe. Raises RecipeError."""
    try:
        return find_set(recipe.data).resolve()
    except ValueError as error:
        raise RecipeError(str(error)) from error


def resume_point(job: Job) -> int:
    """The step to go on from, 0 for a new run. Raises RecipeError in another run's folder."""
    try:
        found = checkpoint.newest(job.folder)
    except checkpoint.CheckpointError as error:
        raise RecipeError(str(error)) from error
    if found is None:
        return 0
    trainer = checkpoint.read_trainer(found)
    for field, now in job.identity.items():
        then = trainer["identity"].get(field)
        if without_zeros(then) != without_zeros(now):
            raise RecipeError(
                f"{field} was {then} in the run in {job.out} and is {now} now; set it back, use "
                "another `out`, or add the word `fresh` to start over"
            )
    return checkpoint.step_of(found)


def without_zeros(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A field of a run's identity; of a mapping what is not 0: a task that came later is such."""
    return {k: v for k, v in value.items() if v} if isinstance(value, dict) else value


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Refuse a second driver on the same folder; the lock goes with the process."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "train.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecipeError(f"another `reelmill train` runs on {out}; wait for it") from error
        yield


def start_over(recipe: Recipe) -> None:
    """Move an earlier run aside, with what only a store has of it, and forget its copies."""
    runs = [stage_recipe(recipe, number) for number in range(len(recipe.stages))] or [recipe]
    for own in runs:
        fetch_newest(own)
    put_aside(recipe.out)
    for own in runs:
        if copies := copies_of(own):
            copies.forget()


def put_aside(out: Path) -> None:
    """Move an earlier run to `<out>/before-<time>`; nothing is deleted."""
    there = [out / name for name in MOVED if (out / name).exists()]
    if not there:
        return
    aside = out / f"before-{time.strftime('%Y%m%d-%H%M%S')}"
    aside.mkdir()
    for path in there:
        path.rename(aside / path.name)
    say(f"moved the earlier run to {aside}")


if __name__ == "__main__":
    raise SystemExit(main_verb("train"))
