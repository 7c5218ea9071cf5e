"""What the generated films look like."""

from curation.settings import Settings


class WorldConfig(Settings):
    """Generated films."""
