from curation.settings import Settings


class ScanConfig(Settings):
    """Settings."""
