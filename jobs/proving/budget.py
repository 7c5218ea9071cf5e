"""How many steps and clips fit into the minutes: measured here, not guessed."""

import json
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from curation.files import write_json
from jobs.training.log import read

PAGE_S = 20.0  # to measure and to write the page, beside what a clip takes
READ_S = 0.5  # to read a clip
CLIPS_SHARE = 0.35  # of what is left goes to clips at most; training gets the rest
UNTRAINED = 4  # one clip in so many is made by the untrained network as well
FEWEST = 4  # clips a capability
LEAST_STEPS = 20


@dataclass(frozen=True)
class Plan:
    """What was decided; a rerun with as many minutes keeps to it."""

    minutes: float
    steps: int
    clips: int  # a capability
    step_s: float
    clip_s: float
    start_s: float
    before_s: float  # what films to latents, the probe and its clip took


def step_seconds(log: Path) -> float:
    """Median of the probe's steps; its first half also warms up."""
    lines = [line for line in read(log) if line["kind"] == "step"]
    late = lines[len(lines) // 2 :]
    return statistics.median(line["step_s"] + line["wait_s"] for line in late)


def plan(
    minutes: float, before_s: float, cost: tuple[float, float, float], most: int, capabilities: int
) -> Plan:
    """`cost` is seconds of a step, of a clip, and of starting to train once more."""
    step_s, clip_s, start_s = cost
    left = 60 * minutes - before_s - start_s - PAGE_S
    each = (clip_s + READ_S) * (1 + 1 / UNTRAINED) + READ_S
    clips = min(most, max(FEWEST, int(CLIPS_SHARE * left / (each * capabilities))))
    steps = max(LEAST_STEPS, int((left - clips * capabilities * each) / step_s))
    return Plan(minutes, steps, clips, step_s, clip_s, start_s, before_s)


def kept_plan(path: Path) -> Plan | None:
    """The plan of an earlier run."""
    return Plan(**json.loads(path.read_text())) if path.is_file() else None


def prolonged(earlier: Plan, minutes: float, step_s: float, most: int, capabilities: int) -> Plan:
    """An earlier plan with other minutes; it does not take steps back."""
    cost = step_s, earlier.clip_s, earlier.start_s
    made = plan(minutes, earlier.before_s, cost, most, capabilities)
    return replace(made, steps=max(made.steps, earlier.steps))


def keep(path: Path, made: Plan) -> None:
    """Write it down."""
    write_json(path, asdict(made))
