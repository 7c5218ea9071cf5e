"""Whether the `tiny` network learns eight films of the world by heart under every task.

Films go the whole route (world, scan, decide, caption, encode, train); one training draws all tasks
equally often. Then each task is asked for each of the eight films that it has seen, and what comes
out of the sampler is compared with the film itself before anything is put back. Beside it stands
what the autoencoders leave of the film, which no network on them can beat, and the losses of the
first and the last tenth of the steps. Last line: one JSON object.

`--quick` takes 60 steps: the rows are there, nothing is learnt.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curation.media_write import write_clip
from curation.world.config import WorldConfig
from curation.world.film import Film, make_film
from jobs.clips import decode, encode_frames
from jobs.config import Recipe, load_recipe
from jobs.demo import run_stage
from jobs.generate import find_checkpoint, requests_of
from jobs.generate_config import GenerateConfig
from jobs.maker import Maker
from jobs.prove import geometry
from jobs.proving.cases import given, still, written
from jobs.proving.kept import psnr
from jobs.proving.made import measure_kept
from jobs.proving.measures import onset_f1, read
from jobs.proving.tables import Estimate, estimate
from jobs.proving.truth import expected
from jobs.training.log import LOG, Line
from jobs.training.log import read as read_log
from jobs.training.mix_config import TaskMix
from model.conditions import Task

FILMS = 8
RECIPE = Path(__file__).parent.parent / "jobs" / "recipes" / "prove.yaml"
OF = {  # the proof's capabilities that ask as these tasks do
    Task.IMAGE_TO_AV: "first frame",
    Task.FIRST_LAST: "first and last frame",
    Task.EXTEND: "extension",
    Task.INPAINT: "inpainting",
    Task.OUTPAINT: "outpainting",
    Task.VIDEO_TO_AUDIO: "sound for a picture",
    Task.AUDIO_TO_VIDEO: "picture for a sound",
}
SAMPLER = {"steps": 20, "guidance_video": 1.0, "guidance_audio": 1.0}
# no picture is made, or, of a film that is given small, another than the film
NOT_THE_FILM = {Task.VIDEO_TO_AUDIO, Task.TEXT_TO_AUDIO, Task.OUTPAINT}
MISLED = "video_to_audio, another film's words"


def fields(task: Task, film: Film, stem: Path) -> dict[str, Any]:
    """What a request of a task gives of a film."""
    if task in OF:
        return given(OF[task], film, stem)
    whole = written(film, stem.with_suffix(".mp4"))
    match task:
        case Task.EXTEND_BACK:
            path, end = stem.with_name(f"{stem.name}-end.mp4"), round(8 / film.fps * film.rate)
            write_clip(path, film.pixels[-8:], film.fps, film.samples[:, -end:], film.rate, 0)
            return {"clip": path, "extend": "backward", "keep": 8}
        case Task.KEYFRAMES:
            path = still(film, len(film.pixels) // 2, stem)
            return {"keyframes": [{"image": path, "at": (len(film.pixels) // 2) / film.fps}]}
        case Task.REFERENCE_IMAGE:
            return {"references": {"image_1": still(film, 0, stem)}}
        case Task.REFERENCE_CLIP | Task.EDIT:
            return {"references": {"video_1": whole}}
        case Task.REFERENCE_SOUND:
            return {"references": {"Audio-0": whole}}
        case Task.TEXT_TO_AUDIO | Task.TEXT_TO_VIDEO | Task.TEXT_TO_IMAGE:
            return {"make": task.removeprefix("text_to_")}
    return {}


def different(world: WorldConfig) -> WorldConfig:
    """The world of the first seed whose films are told in different words."""
    while True:
        said = {make_film(world, n).captions["segments"][0]["short"] for n in range(world.films)}
        if len(said) == world.films:
            return world
        world = world.model_copy(update={"seed": world.seed + 1})


def trained(out: Path, steps: int) -> Recipe:
    """The recipe of a network that has seen the films."""
    recipe = load_recipe(RECIPE, {"out": str(out), "name": "overfit", "scan.val_share": "0"})
    world = different(recipe.world.model_copy(update={"films": FILMS, "unnamed": 0.0}))
    mix = TaskMix(**dict.fromkeys(TaskMix.model_fields, 1.0))
    changes = {"steps": steps, "tasks": mix, "global_batch": 16, "checkpoint_every": steps}
    recipe = recipe.model_copy(
        update={"world": world, "train": recipe.train.model_copy(update=changes)}
    )
    for stage in ("world", "scan", "decide", "caption", "encode", "train"):
        if code := run_stage(stage, recipe):
            raise SystemExit(f"overfit: {stage} ended with code {code}")
    return recipe


def losses(lines: list[Line], name: str) -> tuple[float, float] | None:
    """Means over the first and the last tenth of the steps."""
    steps = [line for line in lines if line["kind"] == "step"]
    tenth = max(1, len(steps) // 10)
    ends = [[s[name] for s in part if name in s] for part in (steps[:tenth], steps[-tenth:])]
    return (statistics.mean(ends[0]), statistics.mean(ends[1])) if all(ends) else None


@torch.no_grad()
def measured(maker: Maker, recipe: Recipe, folder: Path, name: str) -> dict[str, Any]:
    """What a task makes of the films it has seen: PSNR of all, of what was given, onsets."""
    task = Task(name.split(",", maxsplit=1)[0])
    films = [make_film(recipe.world, number) for number in range(FILMS)]
    numbers: dict[str, list[list[float]]] = {"picture": [], "kept": [], "onsets": []}
    for number, film in enumerate(films):
        told = films[(number + 1) % FILMS] if name == MISLED else film
        prompt = told.captions["segments"][0]["short"]
        asked = fields(task, film, folder / f"{task}-{number}")
        prompt = " ".join([prompt, *(f"@{tag}" for tag in asked.get("references", ()))])
        config = GenerateConfig(prompt=prompt, seed=number, count=1, **SAMPLER | asked)
        (request,) = requests_of(config, recipe, maker)
        made, known = maker.draw(request)
        if task not in NOT_THE_FILM:
            truth = film.pixels[: len(made.pixels)]
            numbers["picture"].append(whole(made.pixels, truth))
        kept = measure_kept(made.pixels, known, made.geometry, maker.decoders)
        numbers["kept"].append([kept["kept"]] if "kept" in kept else [])
        if task not in (Task.AUDIO_TO_VIDEO, Task.TEXT_TO_VIDEO, Task.TEXT_TO_IMAGE):
            heard = read(film.pixels, film.fps, made.samples, made.rate)
            numbers["onsets"].append(onset_f1(expected(film.truth), heard, heard))
    return {name: estimate(values) for name, values in numbers.items()}


def whole(made: np.ndarray, truth: np.ndarray) -> list[float]:
    """PSNR of all pixels, dB."""
    found = psnr(made, truth, np.ones(truth.shape[:3], bool))
    return [] if found is None else [found]


@torch.no_grad()
def perfect(maker: Maker, recipe: Recipe) -> dict[str, Any]:
    """The films through the autoencoders."""
    shape = geometry(recipe, maker)
    numbers: dict[str, list[list[float]]] = {"picture": [], "onsets": []}
    for number in range(FILMS):
        film = make_film(recipe.world, number)
        sound = torch.from_numpy(film.samples).expand(maker.decoders.audio.sounds, -1)
        heard = maker.decoders.audio.encode(sound[None])[0]
        back = decode(
            maker.decoders, encode_frames(maker.decoders.video, film.pixels), heard, shape
        )
        numbers["picture"].append(whole(back.pixels, film.pixels))
        found = read(back.pixels, film.fps, back.samples, back.rate)
        numbers["onsets"].append(onset_f1(expected(film.truth), found, found))
    return {name: estimate(values) for name, values in numbers.items()}


def cell(found: Estimate | None, unit: str = "") -> str:
    """A number of the table."""
    if found is None:
        return ""
    return f"{found.value:.1f}{unit}" if unit == " dB" else f"{100 * found.value:.0f} %"


def main() -> None:
    """Train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000, help="of the training")
    parser.add_argument("--quick", action="store_true", help="60 steps, some minutes")
    given_words = parser.parse_args()
    steps = 60 if given_words.quick else given_words.steps
    with tempfile.TemporaryDirectory() as folder:
        recipe = trained(Path(folder) / "run", steps)
        maker = Maker(find_checkpoint(recipe), "cpu")
        lines = read_log(recipe.out / LOG)
        print("| task | loss, picture | loss, sound | picture | kept | onsets |")
        print("| --- | --- | --- | --- | --- | --- |")
        rows: dict[str, Any] = {"autoencoders": perfect(maker, recipe)}
        rows |= {str(t): measured(maker, recipe, Path(folder), str(t)) for t in Task}
        rows[MISLED] = measured(maker, recipe, Path(folder), MISLED)
    for name, row in rows.items():
        ends = [losses(lines, f"task/{name}/{stream}") for stream in ("video", "audio")]
        fall = [f"{end[0]:.2f} → {end[1]:.3f}" if end else "" for end in ends]
        cells = [cell(row["picture"], " dB"), cell(row.get("kept"), " dB"), cell(row["onsets"])]
        print(f"| {name} | {' | '.join([*fall, *cells])} |")
    pictures = {name: row["picture"].value for name, row in rows.items() if row["picture"]}
    best = pictures.pop("autoencoders")
    worst = min(pictures, key=lambda name: pictures[name])
    ratio = round(pictures[worst] / best, 3)
    print(json.dumps({"name": "overfit", "steps": steps, "ratio": ratio, "worst": worst}))


if __name__ == "__main__":
    main()
