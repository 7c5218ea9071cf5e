from curation.settings import Settings


class GenerateConfig(Settings):
    """Settings."""
