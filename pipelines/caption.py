from curation.settings import Settings


class CaptionConfig(Settings):
    """Settings."""
