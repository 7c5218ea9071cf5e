"""Embeddings as text: half the bytes of a list of floats in Parquet, one string a row in memory."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def unit(vector: Floats) -> Floats:
    """The vector at length 1; a zero vector stays."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def cosine(a: Floats, b: Floats) -> float:
    """Cosine of two vectors; 0 where one is zero."""
    return float(np.dot(unit(a), unit(b)))


def pack(vector: Floats) -> str:
    """A vector [D] as unit float16, little-endian, in base64."""
    return base64.b64encode(unit(vector).astype("<f2").tobytes()).decode()


def unpack(texts: Sequence[str]) -> Floats:
    """Vectors [N,D] of packed texts, which must have one D. Raises ValueError."""
    rows = [np.frombuffer(base64.b64decode(text), "<f2") for text in texts]
    if len({row.size for row in rows}) > 1:
        raise ValueError("these embeddings have different sizes: they are of different models")
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32)
