"""A film long enough to be measured in parts, quick to make and to decode."""

from pathlib import Path

import numpy as np

from curation.media_write import write_clip

FPS, RATE, SECONDS = 4, 8_000, 241
SHOTS_S = (3, 4, 5, 6, 7)


def pictures():
    """Frames of shots that nobody would take for one: a texture each, over which a square goes."""
    rng = np.random.default_rng(3)
    shown = 0
    while shown < SECONDS * FPS:
        wall = np.kron(rng.integers(0, 256, (4, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        for step in range(int(rng.choice(SHOTS_S)) * FPS):
            if shown == SECONDS * FPS:
                return
            picture = wall.copy()
            at = step % 40
            picture[8:16, at : at + 8] = 255 - picture[8:16, at : at + 8]
            yield picture
            shown += 1


def write_long_film(path: Path) -> str:
    """The film with a click every second."""
    rng = np.random.default_rng(4)
    sound = (rng.normal(size=(1, SECONDS * RATE)) * 0.01).astype(np.float32)
    sound[0, RATE // 2 :: RATE] = 0.8
    write_clip(path, pictures(), FPS, sound, RATE)
    return str(path)
