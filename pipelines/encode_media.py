"""Pictures and sound of clips as the networks take them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.media import Limits, MediaReader
from curation.read_ahead import Films
from curation.rendition import picture, sound
from model.geometry import Geometry
from pipelines.ledger import Row

Shapes = dict[str, Geometry]  # of each rendition of a clip; sound belongs to the first


@dataclass(frozen=True)
class Media:
    """What a clip shows, uint8 [F,H,W,3] by rendition, and what is heard, float32 [sounds,S]."""

    pictures: dict[str, NDArray[np.uint8]]
    sound: NDArray[np.float32] | None


class ClipReader:
    """Reads clips with a guarded decoder; `sounds` is how many channels the sound has."""

    def __init__(self, films: Films, limits: Limits | None, sounds: int) -> None:
        self._films, self._sounds = films, sounds
        self._reader = MediaReader(limits)

    def picture(self, row: Row, shape: Geometry) -> NDArray[np.uint8]:
        """What a clip shows: uint8 [F,H,W,3]. Raises RejectedError."""
        size, crop = (shape.frames, shape.height, shape.width), row.get("crop")
        with self._films.local(row, self._reader) as path:
            return picture(self._reader, path, row["start_s"], size, shape.fps, crop)

    def sound(self, row: Row, shape: Geometry) -> NDArray[np.float32]:
        """What is heard: float32 [sounds,S]. Raises RejectedError."""
        rate = shape.audio.sample_rate
        with self._films.local(row, self._reader) as path:
            return sound(self._reader, path, row["start_s"], shape.samples, rate, self._sounds)

    def read(self, row: Row, shapes: Shapes) -> Media:
        """All that is encoded of a clip. Raises RejectedError."""
        pictures = {name: self.picture(row, shape) for name, shape in shapes.items()}
        base = next(iter(shapes.values()))
        return Media(pictures, self.sound(row, base) if row["has_audio"] else None)

    def close(self) -> None:
        """End the decoder's process."""
        self._reader.close()
