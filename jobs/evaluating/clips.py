"""Which clips a folder holds, what was asked for each, and their picture and sound in memory.

Letters: N frames, H W pixels, S samples.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.judges.seen import Seen
from curation.media import Frames, MediaReader
from curation.records import clean
from curation.sources import FILMS
from jobs.clip_request import MAX_JSON_BYTES
from jobs.config import RecipeError
from jobs.report.media import even, frame_rate

RATE = 16_000
FEATURE_FPS = 8.0  # frames a second that feature networks see, as VBench samples for its motion
MAX_PROMPT = 8_000

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Clip:
    """A clip of a folder, and what its json says was asked for."""

    path: Path
    prompt: str = ""
    seed: int | None = None
    step: int | None = None
    card: Path | None = None  # the clip.json that `generate` wrote
    weights: str | None = None  # sha256 of the weights that it was made with, and with no others


@dataclass(frozen=True)
class Watched:
    """A decoded clip: pixels [N,H,W,3] at `times` [N], sound [S] mono at RATE or None."""

    clip: Clip
    pixels: Pixels
    times: Floats
    fps: float
    sound: NDArray[np.float32] | None

    @property
    def seconds(self) -> float:
        """Length of the picture."""
        return len(self.pixels) / self.fps

    @cached_property
    def sparse(self) -> Pixels:
        """Frames at about FEATURE_FPS: every round(fps / FEATURE_FPS)-th one."""
        return self.pixels[:: max(1, round(self.fps / FEATURE_FPS))]

    def seen(self) -> Seen:
        """The clip as the judges of curation take it: two frames a second, four at least."""
        count = max(4, round(2 * self.seconds))
        places = np.unique(np.linspace(0, len(self.pixels) - 1, count).round().astype(int))
        heard = np.zeros(0, np.float32) if self.sound is None else self.sound
        return Seen(
            self.clip.path.stem,
            0.0,
            self.seconds,
            self.times[places],
            self.pixels[places],
            heard,
            lambda: Frames(self.times, self.pixels),
        )


def find_clips(folder: Path, most: int = 0) -> list[Clip]:
    """The films of a folder by name. Raises RecipeError when it holds none."""
    if not folder.is_dir():
        raise RecipeError(f"there is no folder {folder}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower()[1:] in FILMS)
    if not found:
        raise RecipeError(f"{folder} holds no film; `reelmill generate` writes to <out>/clips")
    return [describe(path) for path in found[: most or None]]


def describe(path: Path) -> Clip:
    """A film with what lies beside it. A json that is not ours says nothing."""
    card = path.with_suffix(".json")
    try:
        if card.stat().st_size > MAX_JSON_BYTES:
            return Clip(path)
        facts: Any = json.loads(card.read_text())
    except (OSError, ValueError):
        return Clip(path)
    if not isinstance(facts, dict) or not isinstance(facts.get("prompt"), str):
        return Clip(path)
    number = {
        name: facts[name] if isinstance(facts.get(name), int) else None for name in ("seed", "step")
    }
    prompt = clean(facts["prompt"], MAX_PROMPT)
    return Clip(path, prompt, **number, card=card, weights=made_with(facts.get("request")))


def made_with(request: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """The weights of a request; None where adapters or a refiner had a part in its clip."""
    if not isinstance(request, dict) or request.get("lora") or request.get("refiner"):
        return None
    weights = request.get("weights")
    return weights if isinstance(weights, str) else None


def watch(reader: MediaReader, clip: Clip, side: int, seconds: float) -> Watched:
    """Decode the beginning of a clip. Raises RejectedError."""
    probe = reader.probe(clip.path)
    short = None
    if probe.video and min(probe.video.height, probe.video.width) > side:
        short = side
    frames = reader.frames(clip.path, short_side=short, end=seconds)
    fps = frame_rate(frames.times, probe.video.fps if probe.video else 0.0)
    sound = None
    if probe.audio:
        sound = reader.sound(clip.path, rate=RATE, end=len(frames.times) / fps, mono=True).samples
    first = frames.times[0] if len(frames.times) else 0.0
    mono = None if sound is None or not sound.size else sound[0]
    return Watched(clip, even(frames.pixels), frames.times - first, fps, mono)
