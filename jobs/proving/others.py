"""Films beside a request's own: what it is to become, and others of the same look."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from curation.world.config import WorldConfig
from curation.world.film import Film, make_film, shoot
from curation.world.scene import Scene, Thing, draw_scene, pitch_of

MARGIN = 2  # pixels around what an edit changes
CHANGED = 8  # grey levels
FURTHEST = 1000  # films that are looked through for one with such an object, or such words
TWINS = 3  # films of the same words


def drawn(world: WorldConfig, number: int) -> Scene:
    """The scene of a test film."""
    return draw_scene(world, np.random.default_rng([world.seed, number]))


def edited(world: WorldConfig, number: int) -> Film:
    """Test film `number` with its first object of another colour, and of another shape where the
    world has one: another sound, the same motion.
    """
    scene = drawn(world, number)
    first, *rest = scene.shots
    thing, *others = first.things
    kinds = [k for k in world.kinds if k[1] != thing.colour and k[2] == thing.motion]
    kinds = [k for k in kinds if k[0] != thing.shape] or kinds
    if not kinds:
        raise ValueError(f"world has no other object than a {thing.colour} one to make of it")
    shape, colour, _ = kinds[number % len(kinds)]
    pitch = pitch_of(colour, thing.body.radius)
    changed: list[Thing] = [replace(thing, shape=shape, colour=colour, pitch=pitch), *others]
    shots = [replace(first, things=changed), *rest]
    return shoot(world, replace(scene, shots=shots), number)


def changed(before: Film, after: Film) -> NDArray[np.uint8]:
    """What an edit makes anew [N,H,W,3], white: a box around what differs, frame by frame."""
    away = np.abs(before.pixels.astype(np.int16) - after.pixels).max(axis=-1) > CHANGED
    mask = np.zeros_like(before.pixels)
    for frame, there in zip(mask, away, strict=True):
        rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
        if rows.size:
            top, left = max(0, rows[0] - MARGIN), max(0, columns[0] - MARGIN)
            frame[top : rows[-1] + MARGIN + 1, left : columns[-1] + MARGIN + 1] = 255
    return mask


def alike(world: WorldConfig, number: int) -> Film:
    """Another test film whose first object looks and sounds as that of film `number`."""
    shape, colour = wanted = kind(drawn(world, number))
    for other in range(number + 1, number + FURTHEST):
        if kind(drawn(world, other)) == wanted:
            return make_film(world, other)
    raise ValueError(f"the next {FURTHEST} test films have no other {colour} {shape}")


def twins(world: WorldConfig, prompts: list[str]) -> list[tuple[int, Film]]:
    """(place in `prompts`, film) of other test films of the same words, TWINS a prompt at most.

    The prompts are those of the first films. Some words fit few films or none, in so many.
    """
    found: list[tuple[int, Film]] = []
    wanted = {prompt: TWINS * prompts.count(prompt) for prompt in prompts}
    for number in range(len(prompts), FURTHEST):
        if not any(wanted.values()):
            break
        film = make_film(world, number)
        prompt = spoken(film)
        if wanted.get(prompt):
            wanted[prompt] -= 1
            same = [place for place, other in enumerate(prompts) if other == prompt]
            found.append((same[wanted[prompt] % len(same)], film))
    return found


def spoken(film: Film) -> str:
    """What a test film is asked for with."""
    words: str = film.captions["segments"][0]["short"]
    return words


def kind(scene: Scene) -> tuple[str, str]:
    """Shape and colour of the first object."""
    thing = scene.shots[0].things[0]
    return thing.shape, thing.colour
