import math

import numpy as np
import pytest

from curation.world.physics import REST, Body, Impact, Piece, simulate

G = 4.0


def thrown(x, y, vx=0.0, vy=0.0, radius=0.1, bounce=0.7):
    return Body(radius, bounce, 0.0, 0.0, [Piece(0.0, x, y)], (vx, vy))


def energy(bodies, time):
    """Kinetic and potential energy of all bodies."""
    total = 0.0
    for body in bodies:
        _, y, vx, vy = body.at(time)
        total += body.mass * ((vx**2 + vy**2) / 2 + G * y)
    return total


def crowd(seed, count=4, width=1.6):
    rng = np.random.default_rng(seed)
    places = np.linspace(0.15, width - 0.15, count)
    return [
        thrown(x, rng.uniform(0.2, 0.8), rng.uniform(-1.5, 1.5), rng.uniform(-1, 1), 0.09)
        for x in places
    ]


def test_free_fall_meets_the_floor_when_the_formula_says():
    """Catches stepping errors: sound is placed at these times, to the sample."""
    height, radius, bounce = 0.7, 0.1, 0.7
    _, impacts = simulate([thrown(0.5, height)], 1.0, G, 2.0)
    fall = math.sqrt(2 * (height - radius) / G)
    speed = G * fall
    assert impacts[0].time == pytest.approx(fall, abs=1e-12)
    assert impacts[0].speed == pytest.approx(speed)
    assert impacts[1].time == pytest.approx(fall + 2 * bounce * speed / G, abs=1e-12)
    assert impacts[1].speed == pytest.approx(bounce * speed)
    assert all(i.other == "floor" and i.y == radius for i in impacts)


def test_a_ball_comes_to_rest_and_stays():
    """Catches endless micro-bounces, and a rest that sinks into the floor."""
    bodies, impacts = simulate([thrown(0.5, 0.7)], 1.0, G, 20.0)
    assert 3 <= len(impacts) <= 6
    assert impacts[-1].speed * 0.7 < REST * G
    assert bodies[0].at(20.0) == (0.5, 0.1, 0.0, 0.0)


def test_walls_turn_a_body_round():
    """Catches a wall tested at the centre instead of the edge."""
    bodies, impacts = simulate([thrown(0.5, 0.8, vx=1.0)], 1.0, G, 0.5)
    assert impacts[0].other == "wall"
    assert impacts[0].time == pytest.approx(0.4)
    assert impacts[0].x == pytest.approx(0.9)
    assert bodies[0].at(0.45)[2] == pytest.approx(-0.7)


def test_a_collision_keeps_momentum_and_happens_at_touch():
    """Catches contacts found late (overlap) and pushes that are not equal and opposite."""
    pair = [thrown(0.3, 0.7, vx=1.0, radius=0.1), thrown(1.2, 0.75, vx=-0.5, radius=0.14)]
    bodies, impacts = simulate(pair, 2.0, G, 0.6)
    hit = impacts[0]
    assert hit.other == "1"
    new = [next(n for n, p in enumerate(b.pieces) if p.start == hit.time) for b in bodies]
    before = [b.pieces[n - 1].at(hit.time) for b, n in zip(bodies, new, strict=True)]
    after = [b.pieces[n].at(hit.time) for b, n in zip(bodies, new, strict=True)]
    apart = math.dist(before[0][:2], before[1][:2])
    assert apart == pytest.approx(0.24, abs=1e-5)
    for axis in (2, 3):
        momentum = [
            sum(b.mass * state[axis] for b, state in zip(bodies, states, strict=True))
            for states in (before, after)
        ]
        assert momentum[0] == pytest.approx(momentum[1])
    assert after[0][2] < 0 < after[1][2]


@pytest.mark.parametrize("seed", range(8))
def test_energy_never_grows_and_nobody_leaves(seed):
    """Catches bounces that add energy, bodies that sink through the floor or out of the walls."""
    bodies, impacts = simulate(crowd(seed), 1.6, G, 4.0)
    times = np.linspace(0, 4, 800)
    energies = [energy(bodies, t) for t in times]
    assert np.diff(energies).max() < 1e-6
    assert energies[-1] < 0.7 * energies[0]
    for body in bodies:
        xs, ys = np.array([body.at(t)[:2] for t in times]).T
        assert xs.min() > body.radius - 1e-6
        assert xs.max() < 1.6 - body.radius + 1e-6
        assert ys.min() > body.radius - 1e-6
    assert impacts == sorted(impacts, key=lambda i: i.time)
    assert all(isinstance(i, Impact) and i.energy > 0 for i in impacts)


def test_a_crowd_of_five_for_twenty_seconds_ends():
    """Catches contacts that repeat without time passing: they hang the whole pass."""
    _, impacts = simulate(crowd(3, 5), 1.6, G, 20.0)
    assert len(impacts) < 200


def test_rested_bodies_jump_when_told():
    """Catches long films that stand still after their first seconds."""
    body = thrown(0.5, 0.4)
    body.jump = (0.2, 1.5)
    _, impacts = simulate([body], 1.0, G, 12.0)
    jumps = [i for i in impacts if i.other == "jump"]
    assert len(jumps) >= 3
    assert all(i.speed == 0 for i in jumps)
