"""What of a run's sharded state lies outside the GPU's memory (ZeRO-Offload, ZeRO-Infinity)."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from curation.settings import Settings


class OffloadConfig(Settings):
    """Where ZeRO keeps a rank's shards between uses."""

    optimizer: Literal["none", "cpu"] = Field(
        "cpu",
        description="cpu: master weights, moments and their average in the host's memory, where "
        "the optimizer steps too; zero 1 to 3",
    )
    weights: Literal["none", "cpu", "nvme"] = Field(
        "none", description="where the shards of the weights wait for their layer; zero 3"
    )
    path: Path | None = Field(None, description="folder on a fast disk of each node, for nvme")

    def check(self, zero: int, optimizer: str) -> None:
        """Raises ValueError where a stage or an optimizer cannot be offloaded."""
        if self.optimizer == self.weights == "none":
            raise ValueError("offload moves nothing; take it out, or set optimizer or weights")
        if zero == 0:
            raise ValueError("offload needs shards; set zero to 1, 2 or 3")
        if self.weights != "none" and zero != 3:
            raise ValueError(f"offload.weights needs zero=3, which cuts weights; zero is {zero}")
        if (self.weights == "nvme") != (self.path is not None):
            raise ValueError("offload.path goes with offload.weights: nvme, and only with it")
        if optimizer == "muon":
            raise ValueError("offload is for adamw: muon multiplies matrices, too much for a CPU")

    def deepspeed(self, *, pin: bool) -> dict[str, Any]:
        """The part of DeepSpeed's `zero_optimization`; `pin` pages for copies to a GPU."""
        found: dict[str, Any] = {}
        if self.optimizer == "cpu":
            found["offload_optimizer"] = {"device": "cpu", "pin_memory": pin}
        if self.weights != "none":
            found["offload_param"] = {"device": self.weights, "pin_memory": pin}
        if self.path is not None:
            found["offload_param"]["nvme_path"] = str(self.path)
        return found
