"""Prompts of several shots with times: `[0.0-2.5s] a red ball falls [2.5-5s] it rolls away`.

They become the structured caption that training knows (SkyReels-V4 §3.3: paired tags in a fixed
order), each shot's words after its times. How times are written is ours: the paper shows none.
"""

import re
from dataclasses import dataclass

from curation.captions.words import TAGS, structured
from jobs.config import RecipeError

NUMBER = r"(\d+(?:\.\d+)?)\s*s?"
TIMES = re.compile(rf"\[\s*{NUMBER}\s*-\s*{NUMBER}\s*\]")
PART = re.compile(rf"<({'|'.join(TAGS)})>(.*?)</\1>", re.DOTALL)


@dataclass(frozen=True)
class Shot:
    """Words by tag of the caption for the seconds `start` to `end`."""

    start: float
    end: float
    words: dict[str, str]


def caption(prompt: str, seconds: float) -> str:
    """The structured caption of a prompt with shots; a prompt without times stays as it is.

    Words before the first time are of the whole clip; `<sfx>`, `<dialogue>`, `<singing>`, `<bgm>`
    say what is heard. Raises RecipeError for shots that are not one after the other in the clip.
    """
    whole, shots = parsed(prompt)
    if not shots:
        return prompt
    check(shots, seconds)
    said = {tag: [words] for tag, words in whole.items() if words}
    for shot in shots:
        for tag, words in shot.words.items():
            if words:
                said.setdefault(tag, []).append(f"[{shot.start:.1f}-{shot.end:.1f}s] {words}")
    return structured({tag: " ".join(pieces) for tag, pieces in said.items()})


def within(prompt: str, start: float, end: float) -> str:
    """The prompt of a part of the clip: its words, and the shots that fall into these seconds, at
    their times from `start` on.
    """
    whole, shots = parsed(prompt)
    if not shots:
        return prompt
    inside = [shot for shot in shots if min(end, shot.end) - max(start, shot.start) > 0.1]
    timed = [
        f"[{max(0.0, shot.start - start):.2f}-{min(end, shot.end) - start:.2f}s] {said(shot.words)}"
        for shot in inside
    ]
    return " ".join([*([said(whole)] if any(whole.values()) else []), *timed])


def said(words: dict[str, str]) -> str:
    """Words by tag as they stand in a prompt."""
    return " ".join(w if tag == "text" else f"<{tag}>{w}</{tag}>" for tag, w in words.items() if w)


def parsed(prompt: str) -> tuple[dict[str, str], list[Shot]]:
    """Words of the whole clip by tag, and the shots."""
    whole, *rest = TIMES.split(prompt)
    shots = [
        Shot(float(start), float(end), parts(words))
        for start, end, words in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    ]
    return parts(whole), shots


def parts(words: str) -> dict[str, str]:
    """Words by tag; what stands in no tag is the picture's."""
    heard = {tag: " ".join(said.split()) for tag, said in PART.findall(words)}
    seen = f"{heard.pop('text', '')} {PART.sub(' ', words)}"
    return {"text": " ".join(seen.split()), **heard}


def check(shots: list[Shot], seconds: float) -> None:
    """Raises RecipeError naming the shot and the fix."""
    before = 0.0
    for number, shot in enumerate(shots, start=1):
        where = f"generate.prompt: shot {number}, [{shot.start:g}-{shot.end:g}s],"
        if not shot.start < shot.end:
            raise RecipeError(f"{where} must end after it starts")
        if shot.start < before:
            raise RecipeError(f"{where} starts before the shot before it ends, at {before:g} s")
        if shot.end > seconds + 0.05:
            raise RecipeError(
                f"{where} ends after the clip, at {seconds:.2f} s; shorten it or give "
                "generate.seconds"
            )
        if not any(shot.words.values()):
            raise RecipeError(f"{where} has no words; say what it shows")
        before = shot.end
