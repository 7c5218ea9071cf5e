"""One command shape for every verb: `reelmill <verb> recipe.yaml --dotted.override value`."""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from curation.places import Remote
from curation.progress import say
from curation.stores import StorageError
from jobs.config import Recipe, RecipeError, load_recipe

DONE, FAILED, WRONG_REQUEST, TOO_MANY_REJECTED, STOPPED = 0, 1, 2, 3, 75

VERBS = {
    "demo": "the whole route on generated films, in minutes",
    "world": "make films whose truth is known",
    "plan": "what curating films will cost: hours, storage, shards, node-hours",
    "curate": "speech, scan, judge, ask, decide, caption and encode in one go",
    "speech": "hear whole films: words, their times and languages, before the scan cuts",
    "scan": "find films, decode once, cut clips, score picture, sound and sync",
    "judge": "learned models judge the clips: text, faces, safety, looks, events, voice, lips",
    "ask": "put yes/no questions about clips to a multimodal model, for the policy",
    "decide": "turn scores into verdicts by the policy; no media is touched",
    "caption": "write captions of the kept clips: from sidecars, by a model, or from evidence",
    "encode": "turn kept clips into latents in WebDataset shards",
    "verify": "check every byte of a shard set and name any damage",
    "failures": "what failed in which pass, why, and how often it was tried",
    "replay": "try again what failed for a reason, in whichever pass, and nothing else",
    "takedown": "remove films from the ledger and from every shard set, for good",
    "import": "make an open video model the picture tower, from diffusers' layout",
    "train": "train the joint model with Ray Train and DeepSpeed",
    "compare": "training runs side by side: ranking, differences, curves, sample clips",
    "generate": "make clips with picture and sound from a checkpoint",
    "evaluate": "measure clips by the field's metrics, against real clips or another folder's",
    "export": "register a run's weights in MLflow; its alias moves when they pass evaluation",
    "prove": "measure on generated films what a training of minutes learns, against known truth",
    "report": "one HTML page that shows data, training and clips",
    "vae": "train the two embedded autoencoders from films",
    "submit": "run a verb on a Ray cluster and follow its log",
    "doctor": "what is installed, reachable or missing, and how to get it",
}

# A verb's other subject, in a file of its own.
PARTS: dict[tuple[str, ...], str] = {("plan", "model"): "plan_model"}

# Nothing of ours calls home, and our own progress is the output; a person who wants a library's
# telemetry or bars sets the variable.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
}


def main(argv: list[str] | None = None) -> int:
    """Run a verb and return its exit code: 0 done, 1 failed, 2 wrong request, 3 rejections, 75."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help", "help"}:
        say(overview())
        return DONE if words else WRONG_REQUEST
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        say(f"reelmill: there is no verb {verb!r}. Verbs: {', '.join(VERBS)}")
        return WRONG_REQUEST
    return run_verb(verb, rest)


def command(argv: list[str] | None = None) -> int:
    """`reelmill …`: main, and Ray is left before the interpreter ends.

    In the order of Python's own end a driver may see its raylet die first, and Ray then ends it
    with code 1, whatever the verb returned.
    """
    code = main(argv)
    if (ray := sys.modules.get("ray")) is not None:
        ray.shutdown()
    return code


def main_verb(verb: str) -> int:
    """`python -m jobs.<verb> recipe …` is `reelmill <verb> recipe …`; ends every verb's file."""
    return command([verb, *sys.argv[1:]])


def run_verb(verb: str, words: list[str]) -> int:
    """Load the recipe, apply overrides and run `jobs.<verb>.run(recipe, positional words)`."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    if part := PARTS.get((verb, *words[:1])):
        module, words = importlib.import_module(f"jobs.{part}"), words[1:]
    else:
        module = importlib.import_module(f"jobs.{verb}")
    if not part and {"-h", "--help"} & set(words):
        say(describe(verb, module.__doc__ or "", getattr(module, "SECTIONS", ())))
        return DONE
    try:
        if not getattr(module, "TAKES_RECIPE", True):
            return int(module.run(words))
        options, words = take_options(words, getattr(module, "OPTIONS", ()))
        switches = [word for word in words if word[2:] in getattr(module, "SWITCHES", ())]
        positional, overrides = split_words([word for word in words if word not in switches])
        if not positional:
            raise RecipeError(f"`reelmill {verb}` needs a recipe, e.g. jobs/recipes/demo.yaml")
        recipe = load_recipe(Path(positional[0]), overrides)
        if isinstance(recipe.data.path, Remote):
            recipe.data.path.check()  # else a wrong bucket would be an empty data set
        run: Callable[[Recipe, list[str]], int] = module.run
        return int(run(recipe, positional[1:] + switches + options))
    except RecipeError as error:
        say(f"reelmill {verb}: {error}")
        return WRONG_REQUEST
    except StorageError as error:
        say(f"reelmill {verb}: {error}. What was done is kept; the same command goes on there")
        return FAILED
    except KeyboardInterrupt:
        say(f"reelmill {verb}: stopped; run the same command again to go on where it was")
        return STOPPED


def take_options(words: list[str], names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """(`--name=value` of the verb's own options, which may stand more than once; other words)."""
    options: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        name, given, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in names:
            others.append(word)
            continue
        value = value if given else next(rest, "")
        if not value or value.startswith("--"):
            raise RecipeError(f"--{name} needs a value")
        options.append(f"--{name}={value}")
    return options, others


def split_words(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Separate positional words from `--dotted.key value` pairs."""
    positional: list[str] = []
    overrides: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            positional.append(word)
            continue
        key, given, value = word[2:].partition("=")
        overrides[key] = value if given else next(rest, "")
        if not given and (not overrides[key] or overrides[key].startswith("--")):
            raise RecipeError(f"--{key} needs a value; an empty one is --{key}=''")
    return positional, overrides


def overview() -> str:
    """The help text of the command itself."""
    width = max(map(len, VERBS))
    lines = [
        "reelmill: from raw films with sound to a trained joint video-and-audio generator",
        "",
        "  reelmill <verb> recipe.yaml [--section.field value ...]",
        "",
        *(f"  {verb:<{width}}  {what}" for verb, what in VERBS.items()),
        "",
        "`reelmill <verb> --help` lists the recipe fields of a verb. RAY_ADDRESS picks a cluster;",
        "without it a local Ray is started. Exit codes: 0 done, 1 failed, 2 wrong request,",
        "3 done with more rejections than the recipe allows, 75 stopped and resumable.",
    ]
    return "\n".join(lines)


def describe(verb: str, text: str, sections: tuple[str, ...]) -> str:
    """The help text of a verb: what it does and the recipe fields that it reads."""
    lines = [f"reelmill {verb}: {VERBS[verb]}", "", text.strip()]
    for section in sections:
        field = Recipe.model_fields[section]
        lines += ["", f"{section}:"]
        kinds = [field.annotation, *get_args(field.annotation)]
        model = next(k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))
        lines += list(describe_fields(model, f"{section}."))
    return "\n".join(lines)


def describe_fields(model: type[BaseModel], prefix: str) -> list[str]:
    """One line per field, nested settings flattened to their dotted names."""
    lines: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            lines += describe_fields(kind, f"{prefix}{name}.")
            continue
        default = (
            "required" if field.is_required() else field.get_default(call_default_factory=True)
        )
        lines.append(f"  --{prefix}{name}  {field.description or ''} [{default}]")
    return lines


if __name__ == "__main__":
    raise SystemExit(command())
