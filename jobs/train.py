"""Train the joint model on the recipe's shards with Ray Train and DeepSpeed ZeRO.

Run the same command again to go on from the newest complete checkpoint. `reelmill train
recipe.yaml fresh` moves what there is aside and starts at step 0. Curves are in
`<out>/metrics.jsonl` and MLflow.
"""

import fcntl
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from curation.progress import progress, say
from jobs.cli import DONE, FAILED, main_verb
from jobs.config import Recipe, RecipeError, code_version
from jobs.training import checkpoint
from jobs.training.config import FREE, TrainConfig
from jobs.training.engine import environment
from jobs.training.log import Tail, read
from jobs.training.loop import train_worker
from jobs.training.run import Job
from jobs.training.track import Target, Tracker
from model.config import ModelConfig, named_config
from pipelines import cluster
from pipelines.contract import bucket_geometry, find_set, read_contract

SECTIONS = ("train",)
LOOK_EVERY_S = 0.5
MOVED = ("checkpoints", "samples", "metrics.jsonl", "run.json")


def run(recipe: Recipe, words: list[str]) -> int:
    """Train to `train.steps`; 0 when that step's checkpoint is there."""
    if words not in ([], ["fresh"]):
        raise RecipeError(f"train knows no word {words[0]!r}; `fresh` starts over at step 0")
    with only_one(recipe.out):
        if words:
            put_aside(recipe.out)
        return train(recipe)


def train(recipe: Recipe) -> int:
    """Prepare, run Ray Train while showing progress, and say what came of it."""
    shards = find_shards(recipe)
    job = make_job(recipe, shards)
    start = resume_point(job)
    tracker = Tracker(target(recipe, job), job.log)
    tracker.start()
    if start >= recipe.train.steps:
        say(f"training is finished at step {start}; raise train.steps to go on")
        tracker.finish("FINISHED")
        return DONE
    begin = f"going on from step {start}" if start else "starting"
    say(f"train: {begin} with {recipe.train.workers} workers")
    begun = time.monotonic()
    status = "KILLED"
    try:
        with following(job.log, start, recipe.train.steps):
            trouble = fit(recipe, job)
        status = "FAILED" if trouble else "FINISHED"
    finally:
        tracker.finish(status)
    if trouble:
        say(f"reelmill train: {trouble}")
        return FAILED
    say(f"trained to step {recipe.train.steps} in {time.monotonic() - begun:.0f} s: {job.folder}")
    return DONE


def find_shards(recipe: Recipe) -> Path:
    """The newest finished shard set of the recipe. Raises RecipeError."""
    try:
        return find_set(recipe.data).resolve()
    except ValueError as error:
        raise RecipeError(str(error)) from error


def make_job(recipe: Recipe, shards: Path) -> Job:
    """What every worker gets, checked against the contract. Raises RecipeError naming the field."""
    config = recipe.train
    try:
        contract = read_contract(shards)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    model = model_config(config, contract)
    return Job(
        out=str(recipe.out.resolve()),
        shards=str(shards),
        seed=recipe.seed,
        config=config,
        model=model,
        card={
            "model": model.to_json(),
            "rendition": config.rendition,
            "buckets": {name: rendition_of(contract, name, config) for name in contract["buckets"]},
            **{key: contract[key] for key in ("video_vae", "audio_vae", "text")},
            "data": contract["fingerprint"],
            "recipe": recipe.name,
            "code": code_version(),
        },
        identity=identity(recipe, contract, model),
        texts=prompt_features(config, contract),
    )


def model_config(config: TrainConfig, contract: dict[str, Any]) -> ModelConfig:
    """The model that fits the shards' latents. Raises RecipeError naming the field."""
    for name in contract["buckets"]:
        rendition_of(contract, name, config)
    from_data = {
        "video_channels": contract["video_vae"]["spec"]["channels"],
        "audio_channels": contract["audio_vae"]["spec"]["channels"],
        "text_dim": contract["text"]["dim"],
    }
    for field, value in from_data.items():
        if config.model.get(field, value) != value:
            raise RecipeError(
                f"train.model.{field} is {config.model[field]}, the shard set has {value}; "
                "leave the field out"
            )
    try:
        return named_config(config.size, **{**config.model, **from_data})
    except (TypeError, ValueError) as error:
        raise RecipeError(f"train.size or train.model: {error}") from error


def rendition_of(contract: dict[str, Any], bucket: str, config: TrainConfig) -> dict[str, Any]:
    """Size and rate of the trained rendition in a bucket. Raises RecipeError."""
    renditions = bucket_geometry(contract, bucket)
    if config.rendition not in renditions:
        raise RecipeError(
            f"train.rendition is {config.rendition!r}, the shard set has {', '.join(renditions)}"
        )
    shape = renditions[config.rendition]
    return {
        "frames": shape.frames,
        "height": shape.height,
        "width": shape.width,
        "fps": shape.fps,
        "train": contract["buckets"][bucket]["train"],
    }


def identity(recipe: Recipe, contract: dict[str, Any], model: ModelConfig) -> dict[str, Any]:
    """What the two halves of a resumed run must share, by dotted recipe field."""
    fields = recipe.train.model_dump(mode="json", exclude=set(FREE))
    return {
        "seed": recipe.seed,
        "data": contract["fingerprint"],
        "model": model.to_json(),
        **{f"train.{name}": value for name, value in fields.items()},
    }


def prompt_features(config: TrainConfig, contract: dict[str, Any]) -> tuple[Any, ...]:
    """Text features of the sample prompts, from the encoder that made the shards."""
    if not (config.sample_every and config.sample_prompts):
        return ()
    from model.text import load_text_encoder  # noqa: PLC0415 - seconds, and seldom needed

    encoder = load_text_encoder(contract["text"]["encoder"])
    if encoder.fingerprint != contract["text"]["fingerprint"]:
        raise RecipeError(
            "the text encoder here is not the one that made the shard set; encode again"
        )
    return tuple(encoder.encode(list(config.sample_prompts)))


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
        if then != now:
            raise RecipeError(
                f"{field} was {then} in the run in {job.out} and is {now} now; set it back, use "
                "another `out`, or add the word `fresh` to start over"
            )
    return checkpoint.step_of(found)


def fit(recipe: Recipe, job: Job) -> str:
    """Run the workers. Returns what went wrong, or nothing."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415 - 1 s
    from ray.train.torch import TorchTrainer  # noqa: PLC0415

    config = recipe.train
    cluster.start()
    # one machine's cores are shared out, a part each if need be; a cluster has to have them
    share = min(config.threads, math.floor(cluster.cpus() / config.workers * 100) / 100)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.device == "cuda",
            resources_per_worker={"CPU": share if cluster.is_local() else config.threads},
        ),
        run_config=RunConfig(
            name=f"{recipe.name}-{time.time_ns()}",
            storage_path=str(Path(job.out) / "ray"),
            failure_config=FailureConfig(max_failures=config.max_failures),
            worker_runtime_env={"env_vars": environment(config)},
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        return f"the workers failed: {root_of(error)}"
    lines = read(job.log)
    stopped = [line for line in lines[-2:] if line["kind"] == "stopped"]
    if stopped:
        ids = ", ".join(stopped[0]["ids"][:5])
        return f"{stopped[0]['in_a_row']} steps in a row had NaN or Inf, last with {ids}"
    return ""


def root_of(error: BaseException) -> str:
    """The last line of the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def target(recipe: Recipe, job: Job) -> Target:
    """What MLflow is told about the run."""
    return Target(
        uri=recipe.tracking_uri,
        experiment=recipe.name,
        name=f"train {recipe.name}",
        out=Path(job.out),
        params={
            **{k: str(v) for k, v in job.identity.items() if k != "model"},
            **{f"model.{k}": str(v) for k, v in job.card["model"].items()},
            "code": job.card["code"],
        },
        texts={
            "recipe.yaml": yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False),
            "contract.fingerprint": job.card["data"],
        },
    )


@contextmanager
def following(log: Path, start: int, steps: int) -> Iterator[None]:
    """A progress bar from what rank 0 logs. It begins with the first step, or its estimate of what
    is left would count the start of the workers.
    """
    done = threading.Event()
    tail = Tail(log)
    tail.new()  # what an earlier start logged
    thread = threading.Thread(target=_follow, args=(tail, start, steps, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(5)


def _follow(tail: Tail, start: int, steps: int, done: threading.Event) -> None:
    waiting: list[dict[str, Any]] = []
    while not waiting and not done.wait(LOOK_EVERY_S):
        waiting = taken_after(tail, start)
    title = f"train from {start}" if start else "train"
    with progress(title, steps - start, "steps") as advance:
        while True:
            for line in waiting:
                advance(1, note_of(line))
                start = line["step"]
            if done.is_set():
                return
            done.wait(LOOK_EVERY_S)
            waiting = taken_after(tail, start)


def taken_after(tail: Tail, step: int) -> list[dict[str, Any]]:
    """New step lines beyond `step`; after a restart of the workers the log repeats itself."""
    return [line for line in tail.new() if line["kind"] == "step" and line["step"] > step]


def note_of(line: dict[str, Any]) -> str:
    """What stands beside the bar."""
    loss = f"loss {line['loss']:.4f}" if "loss" in line else "skipped"
    return f"{loss}, {line['samples_per_s']:.0f} samples/s"


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
