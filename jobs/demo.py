"""The whole route in one go, on films that it makes or on yours.

`reelmill demo jobs/recipes/demo.yaml` makes films; `reelmill demo jobs/recipes/films.yaml FOLDER`
takes the films of a folder, a pattern or a manifest, `samples` real ones from registry packages.
Every stage resumes: stop it with Ctrl-C and run the same command again.
"""

import importlib
import re
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from curation.files import fingerprint, write_text
from curation.progress import say
from jobs.cli import DONE, STOPPED, TOO_MANY_REJECTED, VERBS, main_verb
from jobs.config import Recipe, RecipeError
from jobs.samples import fetch
from pipelines.contract import find_set
from pipelines.ledger import Ledger

SECTIONS = (
    "world",
    "speech",
    "scan",
    "judge",
    "ask",
    "policy",
    "caption",
    "encode",
    "train",
    "generate",
)
ROOT = Path(__file__).parent.parent
SAMPLES = Path("films/samples")
# Seconds of each stage on 2 cores: only the first guess of what is left, scaled by what was taken.
STAGES = {
    "world": 11.0,
    "speech": 60.0,
    "scan": 65.0,
    "judge": 240.0,
    "ask": 60.0,
    "decide": 1.0,
    "caption": 1.0,
    "encode": 40.0,
    "verify": 1.0,
    "train": 470.0,
    "generate": 60.0,
    "report": 37.0,
}
LEAST = 0.6
BRIEF_S = 3.0  # a stage that found its work done says nothing about the machine's pace


@dataclass
class Clock:
    """What the stages took, and from that how long the rest will take."""

    stages: list[str]
    took: dict[str, float] = field(default_factory=dict)

    @property
    def pace(self) -> float:
        """How many times slower than the table this machine is.

        At least LEAST: a stage may have been quick because an earlier run did most of it.
        """
        worked = [stage for stage, seconds in self.took.items() if seconds > BRIEF_S]
        guessed = sum(STAGES[stage] for stage in worked)
        taken = sum(self.took[stage] for stage in worked)
        return max(LEAST, taken / guessed) if guessed else 1.0

    def left(self) -> float:
        """Seconds until the last stage ends."""
        return self.pace * sum(STAGES[s] for s in self.stages if s not in self.took)


def run(recipe: Recipe, words: list[str]) -> int:
    """Run every stage; the first that fails ends the demo with its code.

    Refused films do not end it while some are left; the exit code tells of them at the end.
    """
    if len(words) > 1:
        raise RecipeError(f"demo takes one folder, pattern or manifest of films, got {words}")
    recipe = with_media(recipe, words[0]) if words else recipe
    own = not words
    write_text(recipe.out / "recipe.yaml", yaml.safe_dump(recipe.model_dump(mode="json")))
    left_out = {
        *(() if own else ("world",)),
        *(() if recipe.speech.table() else ("speech",)),
        *(() if recipe.judge.judges else ("judge",)),
        *(() if recipe.ask.questions else ("ask",)),
    }
    clock = Clock([stage for stage in STAGES if stage not in left_out])
    begun, worst = time.monotonic(), DONE
    for number, stage in enumerate(clock.stages, 1):
        say(
            f"\n[{number}/{len(clock.stages)}] {stage}: {VERBS[stage]}; "
            f"about {minutes(clock.left())} left of all"
        )
        start = time.monotonic()
        code = run_stage(stage, recipe)
        empty = code == TOO_MANY_REJECTED and stage == "decide"  # nothing was kept
        if empty or code not in (DONE, TOO_MANY_REJECTED):
            why = "was stopped" if code == STOPPED else f"ended with code {code}; mend it"
            say(f"demo: {stage} {why}; run the same command again to go on there")
            return code
        worst = max(worst, code)
        clock.took[stage] = time.monotonic() - start
    say("\n" + closing(recipe, clock, time.monotonic() - begun))
    return worst


def run_stage(stage: str, recipe: Recipe) -> int:
    """One verb, in this process: the stages share one Ray."""
    module = importlib.import_module(f"jobs.{stage}")
    if getattr(module, "TAKES_RECIPE", True):
        return int(module.run(recipe, []))
    return int(module.run([str(recipe.out / "recipe.yaml")]))


def with_media(recipe: Recipe, media: str) -> Recipe:
    """The recipe on the person's own films, in a folder of their own."""
    try:
        source = str(fetch(SAMPLES)) if media == "samples" else media
    except (ValueError, RuntimeError) as error:
        raise RecipeError(f"the sample films: {error}") from error
    name = f"{recipe.name}-{slug(media)}"
    changes = {"name": name, "out": recipe.out.parent / name}
    scan = recipe.scan.model_copy(update={"sources": [source]})
    return recipe.model_copy(update=changes | {"scan": scan})


def slug(media: str) -> str:
    """A short folder name for any path: readable, and different for different paths."""
    if media == "samples":
        return media
    readable = re.sub(r"[^a-z0-9]+", "-", Path(media).name.lower()).strip("-")[:24]
    return "-".join(filter(None, [readable, fingerprint(str(Path(media).resolve()))[:6]]))


def closing(recipe: Recipe, clock: Clock, seconds: float) -> str:
    """Where everything is, how long it took and what to try next."""
    command = Path(sys.executable).with_name("reelmill")
    command = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    saved = recipe.out / "recipe.yaml"
    took = ", ".join(f"{stage} {took:.0f} s" for stage, took in clock.took.items())
    mlflow = f"{command.with_name('mlflow')} ui --host 127.0.0.1"
    return "\n".join(
        [
            f"done in {minutes(seconds)} ({took})",
            f"  data set     {recipe.data.ledger}",
            f"  shards       {find_set(recipe.data)}",
            f"  checkpoint   {newest_of(recipe.out / 'checkpoints', 'step-*')}",
            f"  clips        {recipe.out / 'clips'}",
            f"  report       {recipe.out / 'report.html'}  (open it in a browser)",
            f"  MLflow       {mlflow} --backend-store-uri {recipe.tracking_uri}",
            "",
            "to try next",
            f"  {command} generate {saved} --generate.prompt {shlex.quote(example(recipe))}",
            f"  {command} train {saved} --train.steps {2 * recipe.train.steps}",
            "  make demo MEDIA=samples    (or MEDIA=/folder/of/your/films)",
        ]
    )


def example(recipe: Recipe) -> str:
    """A caption that the model has learnt from."""
    rows = Ledger(recipe.data.ledger).rows(f"scores/caption@{recipe.caption.fingerprint()}")
    return next((row["short"] for row in rows if row["short"]), "a ball falls")


def newest_of(folder: Path, pattern: str) -> Path:
    """The last path by name, or the folder where there is none."""
    return max(folder.glob(pattern), default=folder)


def minutes(seconds: float) -> str:
    """`40 s` or `6.5 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    raise SystemExit(main_verb("demo"))
