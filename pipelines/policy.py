from curation.settings import Settings


class Policy(Settings):
    """Settings."""
