"""Settings of the scan.

Apart from scan.py, so that a recipe loads without Ray and torch: 19 of 21 s on a busy machine.
"""

from math import ceil, floor
from typing import Any

from pydantic import Field

from curation.files import fingerprint
from curation.film_config import FilmConfig
from curation.media import Limits
from curation.records import Reason, Status
from curation.settings import Settings

VERSION = 4  # raised when the same settings give other rows


class WindowConfig(Settings):
    """Which spans of a shot become clips."""

    fps: float = Field(8.0, gt=0, le=120, description="frames a second of the latent grid")
    min_s: float = Field(2.0, gt=0, description="shortest clip in seconds")
    max_s: float = Field(5.0, gt=0, description="longest clip in seconds")

    @property
    def frames(self) -> tuple[int, int]:
        """Fewest and most frames of a clip: whole latents, 1 + 4k."""
        from model.geometry import whole_frames  # noqa: PLC0415 - torch: seconds a recipe need not pay

        fewest = 1 + 4 * ceil((self.min_s * self.fps - 1) / 4 - 1e-6)
        most = whole_frames(floor(self.max_s * self.fps + 1e-6))
        return max(1, fewest), most


class ScanConfig(FilmConfig):
    """Which films, how they are cut and looked at."""

    sources: list[str] = Field(
        default_factory=list,
        description="folders, files, patterns, manifests (.csv, .parquet) or URIs of films; "
        "none takes what `reelmill world` made",
    )
    window: WindowConfig = Field(default_factory=WindowConfig)
    limits: Limits = Field(default_factory=Limits)
    val_share: float = Field(0.05, ge=0, lt=1, description="share of films held out, by their hash")
    workers: int = Field(0, ge=0, description="decoding workers; 0 takes every CPU")
    words: str | None = Field(
        None, description="table of words that cuts respect; the section `speech` sets it"
    )

    def fingerprint(self) -> str:
        """Names what the rows depend on: not which films there are, nor how many workers."""
        free = {"sources", "workers", "limits"} | ({"words"} if self.words is None else set())
        values = self.model_dump(mode="json", exclude=free)
        return fingerprint({"version": VERSION, "shots by": self.shot_method, **values})


def outcome(
    status: Status, reason: Reason | None = None, detail: str | None = None
) -> dict[str, Any]:
    """The status columns of a row."""
    return {"status": status, "reason": reason, "detail": detail}


def refused(source: dict[str, Any], reason: Reason, detail: str) -> dict[str, Any]:
    """The row of a film that failed."""
    return source | outcome(Status.FAILED, reason, detail) | {"clips": 0}


def split_of(source_id: str, val_share: float) -> str:
    """Train or val: all clips of a film on one side, whatever else is in the data set."""
    return "val" if int(source_id[:8], 16) / 2**32 < val_share else "train"
