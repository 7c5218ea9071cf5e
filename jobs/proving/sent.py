"""The table's numbers as MLflow's metrics."""

from collections.abc import Sequence

from jobs.proving.tables import Row
from jobs.tracked import allowed


def metrics(rows: Sequence[Row]) -> dict[str, float]:
    """`prove/<capability>/<measure>` and its bounds, named as MLflow allows."""
    found = {}
    for row in rows:
        name = f"prove/{row.capability}/{row.measure}"
        for of, value in {"": row.made, **row.bounds}.items():
            if value is not None:
                found[allowed("/".join(filter(None, [name, of])))] = value.value
    return found
