"""Bodies that fall, bounce, roll and collide, solved from event to event.

Units: 1 is the picture's height; x to the right, y up from the floor; seconds. Between events a
body moves on a parabola, so floor and wall times are exact roots; two bodies are tested every
1/240 s and their contact is bisected to below a microsecond.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

STEP = 1 / 240  # at 3 heights a second a body moves 1/80 height: no contact is stepped over
REST = 0.15  # of gravity, as a speed: slower bounces than this come to rest
PAUSE = 0.6  # seconds at rest before a jump
ROLL = 0.12  # of gravity: how fast rolling slows down
NEVER = math.inf


@dataclass(frozen=True)
class Piece:
    """A stretch of motion from `start` on: position, velocity, acceleration."""

    start: float
    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    ax: float = 0.0
    ay: float = 0.0

    def at(self, time: float) -> tuple[float, float, float, float]:
        """(x, y, vx, vy) at `time`."""
        t = time - self.start
        return (
            self.x + self.vx * t + self.ax * t * t / 2,
            self.y + self.vy * t + self.ay * t * t / 2,
            self.vx + self.ax * t,
            self.vy + self.ay * t,
        )


@dataclass
class Body:
    """One object and its motion so far; `pieces` rise in time and the last is the present one."""

    radius: float
    bounce: float  # share of the speed that a bounce keeps
    enters: float  # when it is there
    released: float  # when gravity takes it
    pieces: list[Piece]
    speed: tuple[float, float] = (0.0, 0.0)  # at release
    jump: tuple[float, float] | None = None  # speed of a jump whenever it has come to rest

    @property
    def mass(self) -> float:
        """Area, scaled so that a body of radius 0.1 weighs 1."""
        return (self.radius / 0.1) ** 2

    def at(self, time: float) -> tuple[float, float, float, float]:
        """(x, y, vx, vy) at `time`."""
        piece = next((p for p in reversed(self.pieces) if p.start <= time), self.pieces[0])
        return piece.at(time)


@dataclass(frozen=True)
class Impact:
    """A contact: which body, with what, how hard."""

    time: float
    body: int
    other: str  # "floor", "wall", the number of the other body, or "jump" (no contact, no sound)
    speed: float  # of approach, in heights a second
    energy: float  # lost and turned into sound and heat, in units of mass * speed²
    x: float
    y: float


@dataclass
class _World:
    bodies: list[Body]
    width: float
    gravity: float
    impacts: list[Impact] = field(default_factory=list)
    passing: set[tuple[int, int]] = field(default_factory=set)  # pairs that lean: let them pass


def simulate(
    bodies: Sequence[Body], width: float, gravity: float, seconds: float
) -> tuple[list[Body], list[Impact]]:
    """Run the bodies from 0 to `seconds` between walls at x = 0 and `width`.

    Returns bodies with all their pieces, and the impacts in order of time.
    """
    world = _World([replace(b, pieces=list(b.pieces)) for b in bodies], width, gravity)
    now = 0.0
    for body in world.bodies:
        if body.released <= 0:
            release(world, body, 0.0)
    while True:
        choices = [(*next_alone(world, body, now), i, -1) for i, body in enumerate(world.bodies)]
        time, kind, first, second = min(choices, key=lambda c: c[0])
        pair_time, i, j = next_pair(world, now, min(time, seconds))
        if pair_time < time:
            time, kind, first, second = pair_time, "pair", i, j
        if time >= seconds:
            return world.bodies, world.impacts
        apply(world, kind, first, second, time)
        now = time


def next_alone(world: _World, body: Body, now: float) -> tuple[float, str]:
    """When and what happens next to `body` if it meets no other."""
    if body.released > now:
        return body.released, "release"
    piece = body.pieces[-1]
    t = now - piece.start
    x, y, vx, vy = piece.at(now)
    found = [(NEVER, "never")]
    if piece.ay < 0:
        found.append((root(piece.ay, vy, y - body.radius), "floor"))
    if vx < 0:
        found.append((root(piece.ax, vx, x - body.radius), "wall"))
    elif vx > 0:
        found.append((root(-piece.ax, -vx, world.width - body.radius - x), "wall"))
    if piece.ax and vx * piece.ax < 0:
        found.append((-piece.vx / piece.ax - t, "stop"))
    if body.jump and not (piece.vx or piece.vy or piece.ay):
        found.append((max(PAUSE - t, 0.0), "jump"))
    wait, kind = min(found)
    return now + wait, kind


def root(a: float, v: float, gap: float) -> float:
    """The first t ≥ 0 at which a gap that closes as gap + v·t + a·t²/2 is zero, else inf."""
    gap = max(gap, 0.0)
    if a == 0:
        return -gap / v if v < 0 else NEVER
    inside = v * v - 2 * a * gap
    if inside < 0:
        return NEVER
    far = math.sqrt(inside)
    times = [t for t in ((-v - far) / a, (-v + far) / a) if t >= 0 and v + a * t < 0]
    return min(times, default=NEVER)


def next_pair(world: _World, now: float, until: float) -> tuple[float, int, int]:
    """The first contact of two bodies in now…until: (time, i, j), or (inf, -1, -1)."""
    best = (NEVER, -1, -1)
    for i, first in enumerate(world.bodies):
        for j in range(i + 1, len(world.bodies)):
            second = world.bodies[j]
            start = max(now, first.enters, second.enters)
            found = contact(world, (i, j), start, min(until, best[0]))
            if found < best[0]:
                best = (found, i, j)
    return best


def contact(world: _World, pair: tuple[int, int], start: float, until: float) -> float:
    """When the two present pieces of motion touch while approaching, within start…until."""
    one, two = (world.bodies[k].pieces[-1] for k in pair)
    reach = sum(world.bodies[k].radius for k in pair)

    def gap(time: float) -> float:
        a, b = one.at(time), two.at(time)
        return math.hypot(a[0] - b[0], a[1] - b[1]) - reach

    before, time = start, start
    previous = gap(start)
    while time < until:
        time = min(time + STEP, until)
        here = gap(time)
        if here > 0:
            world.passing.discard(pair)
        elif here < previous and pair not in world.passing:
            low, high = before, time
            while previous > 0 and high - low > 1e-7:
                middle = (low + high) / 2
                low, high = (middle, high) if gap(middle) > 0 else (low, middle)
            return low if previous > 0 else before
        before, previous = time, here
    return NEVER


def release(world: _World, body: Body, time: float) -> None:
    """Let gravity take a body that hung where it was."""
    x, y, _, _ = body.at(time)
    body.released = time
    body.pieces.append(Piece(time, x, y, *body.speed, 0.0, -world.gravity))


def apply(world: _World, kind: str, first: int, second: int, time: float) -> None:
    """Change the motion of the bodies an event concerns and note the impact."""
    body = world.bodies[first]
    if kind == "release":
        release(world, body, time)
        return
    if kind == "pair":
        collide(world, first, second, time)
        return
    x, y, vx, vy = body.pieces[-1].at(time)
    ax, ay = body.pieces[-1].ax, body.pieces[-1].ay
    if kind == "stop":
        vx, ax = 0.0, 0.0
    elif kind == "jump" and body.jump:
        (vx, vy), ay = body.jump, -world.gravity
        world.impacts.append(Impact(time, first, "jump", 0.0, 0.0, x, y))
    elif kind == "wall":
        x = body.radius if vx < 0 else world.width - body.radius
        note(world, first, "wall", time, abs(vx), (x, y))
        vx, ax = -body.bounce * vx, -ax
    else:
        y = body.radius
        note(world, first, "floor", time, -vy, (x, y))
        vy = -body.bounce * vy
        if vy < REST * world.gravity:
            vy = ay = 0.0
            ax = -math.copysign(ROLL * world.gravity, vx) if vx else 0.0
    body.pieces.append(Piece(time, x, y, vx, vy, ax, ay))


def note(
    world: _World, body: int, other: str, time: float, speed: float, at: tuple[float, float]
) -> None:
    """Keep an impact with the floor or a wall; its energy is what the bounce does not keep."""
    one = world.bodies[body]
    energy = one.mass * speed**2 * (1 - one.bounce**2) / 2
    world.impacts.append(Impact(time, body, other, speed, energy, *at))


def collide(world: _World, first: int, second: int, time: float) -> None:
    """Exchange momentum along the line between two bodies."""
    one, two = world.bodies[first], world.bodies[second]
    (x1, y1, vx1, vy1), (x2, y2, vx2, vy2) = one.at(time), two.at(time)
    distance = math.hypot(x2 - x1, y2 - y1) or 1e-9
    nx, ny = (x2 - x1) / distance, (y2 - y1) / distance
    speed = (vx1 - vx2) * nx + (vy1 - vy2) * ny
    if speed < REST * world.gravity / 2:  # leaning on each other: one passes in front
        world.passing.add((first, second))
        for body in (one, two):
            x, y, vx, vy = body.at(time)
            body.pieces.append(replace(body.pieces[-1], start=time, x=x, y=y, vx=vx, vy=vy))
        return
    bounce = min(one.bounce, two.bounce)
    reduced = one.mass * two.mass / (one.mass + two.mass)
    push = (1 + bounce) * reduced * speed
    energy = reduced * speed**2 * (1 - bounce**2) / 2
    middle = (x1 + nx * one.radius, y1 + ny * one.radius)
    world.impacts.append(Impact(time, first, str(second), speed, energy, *middle))
    world.passing.add((first, second))  # until they are apart again
    for body, sign in ((one, -1), (two, 1)):
        x, y, vx, vy = body.at(time)
        vx, vy = vx + sign * push * nx / body.mass, vy + sign * push * ny / body.mass
        lies = y <= body.radius + 1e-9
        if lies and vy < REST * world.gravity:  # pressed to the floor or barely lifted: it rolls
            ax = -math.copysign(ROLL * world.gravity, vx) if vx else 0.0
            body.pieces.append(Piece(time, x, body.radius, vx, 0.0, ax, 0.0))
        else:
            body.pieces.append(Piece(time, x, y, vx, vy, 0.0, -world.gravity))
            body.released = min(body.released, time)
