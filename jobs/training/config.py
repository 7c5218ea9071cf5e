from curation.settings import Settings


class TrainConfig(Settings):
    """Settings."""
