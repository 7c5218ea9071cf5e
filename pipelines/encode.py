from curation.settings import Settings


class EncodeConfig(Settings):
    """Settings."""
