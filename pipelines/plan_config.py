"""How a plan is made. Apart from the code, so that reading a recipe stays quick."""

from pydantic import Field

from curation.settings import Settings


class PlanConfig(Settings):
    """How much is looked at, and what a node is."""

    films: int = Field(8, ge=2, le=1_000, description="films that go through all passes")
    probes: int = Field(500, ge=2, description="films whose header is read for their length")
    node_cpus: int = Field(
        32, ge=1, description="cores of a node, for node-hours (as in ray_cluster.yaml)"
    )
