"""What happens in a film: its shots, objects, camera, music and speech, drawn from one seed."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from curation.world.config import Kind, WorldConfig
from curation.world.physics import Body, Impact, Piece, simulate

CEILING = 0.88  # heights above the floor that the picture shows; the floor's strip is the rest
APART = 1.1  # objects start this many summed radii from each other
JUMP_AFTER = 4.0  # seconds; in longer shots objects that came to rest jump again
PITCH = {  # Hz; 4.5 semitones apart, so that neighbours are told apart at a glance
    "red": 196.0,
    "orange": 254.2,
    "yellow": 329.6,
    "green": 427.5,
    "cyan": 554.4,
    "blue": 718.9,
    "purple": 932.3,
    "white": 1209.1,
}
TIMBRE = {"ball": "wood", "square": "metal", "triangle": "glass", "star": "string"}
MIDDLE_RADIUS = 0.13  # larger objects sound up to 2 semitones lower, smaller ones higher
LINES = (
    "Watch what happens now.",
    "Here comes the next one.",
    "It is going to fall.",
    "Listen to the sound it makes.",
    "That was close.",
    "One more time, please.",
    "Nothing stays up there for long.",
    "This is a very small world.",
)


@dataclass(frozen=True)
class Thing:
    """An object of a shot: how it looks, how it sounds and how it moves."""

    shape: str
    colour: str
    motion: str
    pitch: float  # Hz
    body: Body

    @property
    def direction(self) -> str:
        """Where it goes first: left, right or down."""
        sideways = self.body.speed[0]
        return "down" if not sideways else "left" if sideways < 0 else "right"

    @property
    def timbre(self) -> str:
        """What it sounds like."""
        return TIMBRE[self.shape]


@dataclass(frozen=True)
class OffScreen:
    """A sound of something nobody sees; `place` is left of (0) or right of (1) the picture."""

    time: float
    shape: str
    colour: str
    pitch: float
    speed: float
    place: float


@dataclass(frozen=True)
class Shot:
    """One scene between two cuts; times inside are from the shot's start."""

    first: int  # frame
    end: int  # frame after the last
    width: float  # of the world, in heights
    view: tuple[float, float]  # left edge of the picture at the first and the last frame
    background: str
    occluder: tuple[float, float] | None  # left and right edge
    seed: int  # of background and texture
    things: list[Thing]
    impacts: list[Impact]
    off_screen: list[OffScreen] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """A whole film before it is drawn."""

    frames: int
    shots: list[Shot]
    music: int | None  # seed of the bed
    speech: tuple[str, float] | None  # line and the share of the spare time before it starts
    wind: int | None = None  # seed of the gusts
    unnamed: bool = False  # captions say neither looks nor timbres


def draw_scene(config: WorldConfig, rng: np.random.Generator) -> Scene:
    """A scene from the settings and a generator; equal states give equal scenes."""
    frames = max(2, round(float(rng.uniform(*config.seconds)) * config.fps))
    edges = cut(rng, frames, int(rng.integers(config.shots[0], config.shots[1] + 1)), config.fps)
    shots = [draw_shot(config, rng, a, b) for a, b in pairwise(edges)]
    music = int(rng.integers(1 << 31)) if rng.random() < config.music else None
    line = LINES[int(rng.integers(len(LINES)))]
    speech = (line, float(rng.random())) if rng.random() < config.speech else None
    # Drawn last, so that worlds without them are what they were before there were any.
    wind = int(rng.integers(1 << 31)) if config.wind and rng.random() < config.wind else None
    unnamed = bool(config.unnamed) and rng.random() < config.unnamed
    return Scene(frames, shots, music, speech, wind, unnamed)


def cut(rng: np.random.Generator, frames: int, shots: int, fps: float) -> list[int]:
    """First frames of the shots and the end; no shot is shorter than a second."""
    shots = max(1, min(shots, int(frames / fps)))
    share = rng.uniform(0.7, 1.3, shots)
    inner = np.round(np.cumsum(share)[:-1] / share.sum() * frames).astype(int)
    return [0, *(int(x) for x in inner), frames]


def draw_shot(config: WorldConfig, rng: np.random.Generator, first: int, end: int) -> Shot:
    """A shot of frames first…end-1 with its physics already run."""
    seconds = (end - first) / config.fps
    aspect = config.width / config.height
    pans = rng.random() < config.pan
    width = aspect * float(rng.uniform(1.3, 1.8)) if pans else aspect
    view = (0.0, width - aspect)
    if rng.random() < 0.5:
        view = (view[1], view[0])
    background = str(rng.choice(config.backgrounds))
    occluder = None
    if rng.random() < config.occluder:
        left = float(rng.uniform(0.2, 0.65)) * width
        occluder = (left, left + 0.14)
    seed = int(rng.integers(1 << 31))
    things = draw_things(config, rng, width, seconds)
    bodies, impacts = simulate([t.body for t in things], width, config.gravity, seconds)
    moved = [
        Thing(t.shape, t.colour, t.motion, t.pitch, b) for t, b in zip(things, bodies, strict=True)
    ]
    unseen = draw_off_screen(config, rng, seconds) if rng.random() < config.off_screen else []
    return Shot(first, end, width, view, background, occluder, seed, moved, impacts, unseen)


def draw_things(
    config: WorldConfig, rng: np.random.Generator, width: float, seconds: float
) -> list[Thing]:
    """The objects of a shot, of different colours while there are colours left."""
    count = int(rng.integers(config.objects[0], config.objects[1] + 1))
    colours = list(rng.permutation(config.colours))
    things: list[Thing] = []
    while len(things) < count:
        motion = str(rng.choice(config.motions))
        partners = 2 if motion == "collide" and len(things) + 2 <= count else 1
        for side in range(partners):
            shape, colour = str(rng.choice(config.shapes)), str(colours[len(things) % len(colours)])
            shape, colour, own = settle(config, rng, (shape, colour, motion), things)
            radius = float(rng.uniform(*config.radius))
            taken = [t.body for t in things]
            body = draw_body(config, rng, (own, side), radius, taken, (width, seconds))
            things.append(Thing(shape, colour, own, pitch_of(colour, radius), body))
    return things


def pitch_of(colour: str, radius: float) -> float:
    """What an object sounds like, Hz."""
    return PITCH[colour] * (MIDDLE_RADIUS / radius) ** 0.27


def settle(config: WorldConfig, rng: np.random.Generator, kind: Kind, things: list[Thing]) -> Kind:
    """The kind of an object, or in place of one that is held out another, drawn evenly.

    Colours that the shot does not have yet come first. Nothing is drawn where nothing is held out.
    """
    if config.allows(kind):
        return kind
    there = {thing.colour for thing in things}
    new = [other for other in config.kinds if other[1] not in there]
    choices = new or config.kinds
    return choices[int(rng.integers(len(choices)))]


def draw_body(
    config: WorldConfig,
    rng: np.random.Generator,
    motion: tuple[str, int],
    radius: float,
    taken: list[Body],
    room: tuple[float, float],
) -> Body:
    """Where an object starts and what it does first. `room` is the world's width and the time."""
    kind, side = motion
    width, seconds = room
    bounce = float(rng.uniform(0.5, 0.75))
    low, high = radius + 0.25, CEILING - radius
    for _ in range(20):  # a free place; a crowded world may give up and overlap
        x, y = float(rng.uniform(radius, width - radius)), float(rng.uniform(low, high))
        if kind == "collide":
            x, y = (radius + 0.02 if side == 0 else width - radius - 0.02), radius
        near = (np.hypot(x - b.pieces[0].x, y - b.pieces[0].y) / (radius + b.radius) for b in taken)
        if all(ratio > APART for ratio in near):
            break
    hold, enters, speed = float(rng.uniform(0.0, 0.45)), 0.0, (0.0, 0.0)
    if kind == "throw":
        toward = 1.0 if x < width / 2 else -1.0
        speed = (toward * float(rng.uniform(0.4, 1.1)), float(rng.uniform(-0.3, 0.6)))
    elif kind == "appear":
        enters = float(rng.uniform(0.2, 0.5)) * seconds
    elif kind == "collide":
        toward = 1.0 if side == 0 else -1.0
        speed = (toward * float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.8, 1.6)))
    sideways, up = float(rng.uniform(-0.4, 0.4)), float(rng.uniform(1.2, 2.0))
    jump = (sideways, up * (config.gravity / 4.0) ** 0.5) if seconds > JUMP_AFTER else None
    return Body(radius, bounce, enters, enters + hold, [Piece(0.0, x, y)], speed, jump)


def draw_off_screen(
    config: WorldConfig, rng: np.random.Generator, seconds: float
) -> list[OffScreen]:
    """One or two sounds from beside the picture."""
    found = []
    for time in np.sort(rng.uniform(0.1, 0.9, int(rng.integers(1, 3)))) * seconds:
        colour, shape = str(rng.choice(config.colours)), str(rng.choice(config.shapes))
        if (shape, colour) not in {kind[:2] for kind in config.kinds}:
            shape, colour, _ = config.kinds[int(rng.integers(len(config.kinds)))]
        speed, place = float(rng.uniform(1.0, 2.0)), float(rng.integers(0, 2))
        found.append(OffScreen(float(time), shape, colour, PITCH[colour], speed, place))
    return found
