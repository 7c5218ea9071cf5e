"""How a model is adapted by low-rank adapters."""

from pydantic import Field

from curation.settings import Settings

PROJECTIONS = ("blocks.*.qkv", "blocks.*.query", "blocks.*.key_value", "blocks.*.out")
MLP = ("blocks.*.up", "blocks.*.down")


class LoraConfig(Settings):
    """Adapters beside frozen weights (model/lora.py)."""

    rank: int = Field(16, ge=1, le=1024, description="columns of an adapter's two matrices")
    alpha: float | None = Field(
        None, gt=0, description="strength: an adapter counts alpha / rank; default the rank"
    )
    modules: tuple[str, ...] = Field(
        (*PROJECTIONS, *MLP),
        min_length=1,
        description="linear layers that are adapted: video or audio for a tower, or patterns like "
        "blocks.*.qkv; default attention, exchange and MLP of both towers",
    )

    @property
    def strength(self) -> float:
        """Alpha."""
        return float(self.rank) if self.alpha is None else self.alpha

    @property
    def scale(self) -> float:
        """What an adapter counts."""
        return self.strength / self.rank
