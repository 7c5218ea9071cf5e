"""A short prompt becomes the structured caption that training knows, written by a language model.

SkyReels-V4 §4 rewrites what people type into the captions of its last stages; model, prompt and
what happens on failure are ours. What was written is in the clip's JSON, so a clip is made again
without the model. It is kept in `<out>/enhanced/`, too: the same request is asked about once.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.captions.answer import CaptionStatus, Outcome
from curation.captions.config import EnhanceConfig
from curation.captions.description import Description, render
from curation.captions.local import LocalModel
from curation.captions.request import Seen
from curation.captions.server import Server, ServerError
from curation.files import fingerprint, write_json
from curation.progress import progress, say
from jobs.clip_request import ClipRequest
from jobs.config import RecipeError
from jobs.shots import PART, TIMES
from jobs.tags import KNOWN, check_tags

Wishes = dict[str, tuple[str, float]]  # key -> prompt, seconds of its clip


def enhanced(
    config: EnhanceConfig, requests: list[ClipRequest], card: dict[str, Any], folder: Path
) -> list[ClipRequest]:
    """The requests with captions for prompts, `asked` says from what, `enhancer` by whom.

    A prompt that is structured already, by tags or times, stays, which is said. Raises RecipeError
    for a prompt that the model writes no fitting caption of (nothing is made from other words than
    were asked for), ServerError for a server that cannot be used.
    """
    keys = [key_of(config, request, card) for request in requests]
    wishes: Wishes = {
        key: (request.prompt, request.geometry(card).seconds)
        for key, request in zip(keys, requests, strict=True)
        if not is_structured(request.prompt)
    }
    if stay := sum(is_structured(request.prompt) for request in requests):
        say(f"generate.enhance: {stay} prompts have times or tags of sound and stay as they are")
    missing = {k: wish for k, wish in wishes.items() if not (folder / f"{k}.json").is_file()}
    if missing:
        write_all(config, missing, folder)
    known = {key: read(folder / f"{key}.json") for key in wishes}
    return [
        request.model_copy(update=known.get(key, {}))
        for key, request in zip(keys, requests, strict=True)
    ]


def is_structured(prompt: str) -> bool:
    """Whether a person wrote shots with times, or says by tags what is heard."""
    return bool(TIMES.search(prompt) or PART.search(prompt))


def key_of(config: EnhanceConfig, request: ClipRequest, card: dict[str, Any]) -> str:
    """Names what is asked: the model with its settings, the prompt and the clip's length."""
    seconds = round(request.geometry(card).seconds, 3)
    return fingerprint([config.fingerprint(), request.prompt, seconds])


def write_all(config: EnhanceConfig, wishes: Wishes, folder: Path) -> None:
    """Ask about every wish and keep what fits. Raises RecipeError, ServerError."""
    wrong = []
    with progress("enhance", len(wishes), "prompts") as advance:

        def keep(key: str, outcome: Outcome) -> None:
            prompt = wishes[key][0]
            try:
                written = checked(prompt, outcome)
            except ValueError as error:
                wrong.append(f"{prompt[:80]!r}: {error}")
            else:
                told = {"prompt": written, "asked": prompt, "enhancer": config.teller}
                write_json(folder / f"{key}.json", told)
            advance(1)

        if config.backend == "server":
            try:
                asyncio.run(ask_server(config, wishes, keep))
            except* ServerError as group:
                raise group.exceptions[0] from None
        else:
            for key, outcome in ask_here(config, wishes):
                keep(key, outcome)
    if wrong:
        raise RecipeError(
            f"generate.enhance: {config.teller} wrote no caption that fits for {len(wrong)} of "
            f"{len(wishes)} prompts; {wrong[0]}. Run it again, give another model, or leave "
            "generate.enhance out"
        )


async def ask_server(config: EnhanceConfig, wishes: Wishes, keep: Any) -> None:  # noqa: ANN401
    """Many requests under way; a caption with other tags is asked for again, `tries` times."""
    places = asyncio.Semaphore(config.concurrency)
    async with Server(config) as server:

        async def one(key: str) -> None:
            async with places:
                for _ in range(config.tries):
                    outcome = await server.describe(key, *question(wishes[key]))
                    if outcome.told is None or fits(wishes[key][0], outcome):
                        break
            keep(key, outcome)

        async with asyncio.TaskGroup() as tasks:
            for key in wishes:
                tasks.create_task(one(key))


def ask_here(config: EnhanceConfig, wishes: Wishes) -> Iterator[tuple[str, Outcome]]:
    """One after the other by a model in this process. Raises RecipeError."""
    try:
        model = LocalModel(config)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    for key, wish in wishes.items():
        yield key, model.describe(key, *question(wish))


def question(wish: tuple[str, float]) -> tuple[Seen, dict[str, Any]]:
    """What is asked: nothing to see yet, and the prompt as quoted data."""
    prompt, seconds = wish
    return Seen((), (), None, seconds), {"prompt": prompt}


def fits(prompt: str, outcome: Outcome) -> bool:
    """Whether an answer can be taken."""
    try:
        checked(prompt, outcome)
    except ValueError:
        return False
    return True


def checked(prompt: str, outcome: Outcome) -> str:
    """The structured caption of an answer. Raises ValueError where it lost or made up a tag."""
    if outcome.status != CaptionStatus.OK or not isinstance(outcome.told, Description):
        raise ValueError(f"{outcome.status}: {outcome.detail}")
    written = render(outcome.told, "enhancer").structured
    check_tags(written, set(KNOWN.findall(prompt)))
    if TIMES.search(written):
        raise ValueError("the caption has times in brackets")
    return written


def read(path: Path) -> dict[str, str]:
    """What was written before. Raises RecipeError."""
    try:
        value = json.loads(path.read_text())
        return {name: str(value[name]) for name in ("prompt", "asked", "enhancer")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{path} is damaged: {error}; delete it") from error
