"""Where a dataset root keeps its things. Paths only; the formats are in ledger.py and shards.py."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataRoot:
    """A dataset: the ledger's tables and the shard sets made from them."""

    path: Path

    @property
    def ledger(self) -> Path:
        """Parquet tables: sources, clips, scores, verdicts, artefacts."""
        return self.path / "ledger"

    @property
    def shards(self) -> Path:
        """One folder per encode fingerprint, each with contract.json written last."""
        return self.path / "shards"

    @property
    def metrics(self) -> Path:
        """What each pass counted, run by run, and the same for Prometheus."""
        return self.path / "metrics"

    @property
    def previews(self) -> Path:
        """Small copies of the clips that the report shows, named by clip."""
        return self.path / "previews"
