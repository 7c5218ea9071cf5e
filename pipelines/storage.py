"""Where a dataset root keeps its things. Paths only; the formats are in ledger.py and shards.py."""

from dataclasses import dataclass

from curation.places import Place


@dataclass(frozen=True)
class DataRoot:
    """A dataset: the ledger's tables and the shard sets made from them.

    It lies in a folder or under a key of an object store (docs/storage.md).
    """

    path: Place

    @property
    def ledger(self) -> Place:
        """Parquet tables: sources, clips, scores, verdicts, artefacts."""
        return self.path / "ledger"

    @property
    def shards(self) -> Place:
        """One folder per encode fingerprint, each with contract.json written last."""
        return self.path / "shards"

    @property
    def metrics(self) -> Place:
        """What each pass counted, run by run, and the same for Prometheus."""
        return self.path / "metrics"

    @property
    def previews(self) -> Place:
        """Small copies of the clips that the report shows, named by clip."""
        return self.path / "previews"
