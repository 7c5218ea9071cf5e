"""Tags: how a prompt speaks of a request's references, `@image_1`, `@video_1`, `@Audio-0`.

SkyReels-V4 §3.3 puts them beside the phrase they bind; sounds count from 0, the others from 1.
"""

import re
from collections.abc import Iterable

from jobs.config import RecipeError
from jobs.generate_config import NAME

KNOWN = re.compile(rf"@({NAME})(?![A-Za-z0-9_-])")
ALIKE = re.compile(r"@(?:image|video|audio|actor)(?:[_-]?\d+)?\b", re.IGNORECASE)


def order(tags: Iterable[str]) -> list[str]:
    """Tags as references stand on the clock: images, films, sounds, each by number."""
    kinds = ("image", "video", "Audio")

    def place(tag: str) -> tuple[int, int]:
        kind, number = re.split("[_-]", tag)
        return kinds.index(kind), int(number)

    return sorted(tags, key=place)


def check_tags(prompt: str, given: Iterable[str]) -> None:
    """Raises RecipeError unless the prompt names each reference, and no other."""
    there, said = order(given), set(KNOWN.findall(prompt))
    for word in ALIKE.findall(prompt):
        if not KNOWN.fullmatch(word):
            raise RecipeError(
                f"generate.prompt: {word} is no tag; write @image_1, @video_1 or @Audio-0 and give "
                "it in generate.references"
            )
    for tag in order(said - set(there)):
        known = f"it has {', '.join(there)}" if there else "there are none"
        raise RecipeError(
            f"generate.prompt names @{tag}, which is not in generate.references ({known}); give "
            f"its file there as `{tag}: path`, or take the tag out"
        )
    for tag in there:
        if tag not in said:
            raise RecipeError(
                f"generate.references.{tag} is not named in the prompt {prompt!r}; write @{tag} "
                "beside what it shows, or take it out"
            )


def without_tags(prompt: str) -> str:
    """The prompt for a text encoder that reads words alone: it met no tags in training."""
    if not KNOWN.search(prompt):
        return prompt
    return re.sub(r"\s+([,.;:!?])", r"\1", " ".join(KNOWN.sub(" ", prompt).split()))
