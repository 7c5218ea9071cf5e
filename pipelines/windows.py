"""Which spans of a shot become clips: whole latent frames on the grid of training."""

from math import ceil, floor

from pydantic import Field

from curation.settings import Settings
from model.geometry import whole_frames


class WindowConfig(Settings):
    """Which spans of a shot become clips."""

    fps: float = Field(8.0, gt=0, le=120, description="frames a second of the latent grid")
    min_s: float = Field(2.0, gt=0, description="shortest clip in seconds")
    max_s: float = Field(5.0, gt=0, description="longest clip in seconds")

    @property
    def frames(self) -> tuple[int, int]:
        """Fewest and most frames of a clip: whole latents, 1 + 4k."""
        fewest = 1 + 4 * ceil((self.min_s * self.fps - 1) / 4 - 1e-6)
        most = whole_frames(floor(self.max_s * self.fps + 1e-6))
        return max(1, fewest), most


def windows(start: float, end: float, config: WindowConfig) -> list[tuple[float, int]]:
    """(start in seconds, frames) of the clips of a shot [start, end): longest first, no overlap.

    Starts lie on whole milliseconds, never before the shot.
    """
    fewest, most = config.frames
    clips = []
    place = ceil(start * 1000 - 1e-6) / 1000
    # Container times are rounded to as much as 1 ms.
    while (room := floor((end - place) * config.fps + 0.002 * config.fps)) >= fewest:
        frames = whole_frames(min(room, most))
        clips.append((place, frames))
        place = ceil((place + frames / config.fps) * 1000 - 1e-6) / 1000
    return clips
