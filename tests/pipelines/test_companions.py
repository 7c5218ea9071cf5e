"""Another clip of the same film, the same one every time."""

import numpy as np
import pyarrow as pa

from model.noise import Draw
from pipelines.companions import companions

FILMS = ["a" * 16] * 5 + ["b" * 16] * 1 + ["c" * 16] * 3
KEYS = [f"{film}-{i}-{i + 1}" for i, film in enumerate(FILMS)]
BUCKETS = ["x", "x", "y", "x", "x", "x", "y", "y", "y"]


def made(order):
    columns = {
        "key": pa.array([KEYS[i] for i in order]),
        "bucket": pa.array([BUCKETS[i] for i in order]),
    }
    return companions(columns, np.arange(len(order)))


def test_a_companion_is_another_clip_of_the_film_and_bucket():
    """Catches a clip that refers to itself, to another film, or to a shape that does not fit."""
    found = made(range(9))
    for row, key in enumerate(KEYS):
        chosen = {found.of(row, Draw(0, key, visit)) for visit in range(40)}
        mates = {
            i for i in range(9) if (FILMS[i], BUCKETS[i]) == (FILMS[row], BUCKETS[row]) and i != row
        }
        assert chosen == (mates or {None})


def test_the_order_of_the_index_does_not_matter():
    """Catches a draw that another packing of the shards would change."""
    plain, order = made(range(9)), [4, 0, 8, 2, 6, 1, 7, 3, 5]
    mixed = made(order)
    for place, row in enumerate(order):
        for visit in range(5):
            draw = Draw(0, KEYS[row], visit)
            there, here = plain.of(row, draw), mixed.of(place, draw)
            assert (there is None) == (here is None)
            assert there is None or KEYS[there] == KEYS[order[here]]
